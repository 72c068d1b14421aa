"use strict";
// What the page says, in English and in Chinese.

const WORDS = {
  en: {
    new: "New chat", chats: "Chats", kept: "Chats are kept in this browser only.", settings: "Settings", send: "Send", stop: "Stop",
    conversation: "Conversation", message: "Message", copy: "Copy", copied: "Copied", again: "Again", drop: "Delete",
    system: "System prompt", system_hint: "How the model should answer", temperature: "Temperature", top_p: "Top-p", top_k: "Top-k",
    repetition_penalty: "Repetition penalty", max_tokens: "Longest answer (tokens)", seed: "Seed", empty_is_default: "An empty field leaves it to the server.",
    reset: "Reset", done: "Done", key_title: "This server has a key", key_words: "It is kept in this browser and sent to this server only.", key: "API key",
    key_wrong: "The key is wrong.", hello: "Ask something to begin.", goes_on: "This model goes on with a text. Write how it begins.",
    sources: "Sources", from_documents: "Answers come from this server's documents, and tell where they stand.", tokens: "{n} tokens", rate: "{rate} tokens/s", cut: "cut off at the length limit",
    stopped: "stopped", forgot: "The chat is longer than the model reads: its beginning is left out.", unreachable: "The server can't be reached. Is it running?",
    broken: "The answer broke off.", retry: "Try again", failed: "The server answered {status}.",
  },
  zh: {
    new: "新对话", chats: "对话列表", kept: "对话只保存在本浏览器中。", settings: "设置", send: "发送", stop: "停止",
    conversation: "对话", message: "输入消息", copy: "复制", copied: "已复制", again: "重新生成", drop: "删除",
    system: "系统提示词", system_hint: "希望模型怎样回答", temperature: "温度", top_p: "Top-p", top_k: "Top-k",
    repetition_penalty: "重复惩罚", max_tokens: "最长回答（词元）", seed: "随机种子", empty_is_default: "留空则用服务器的默认值。",
    reset: "重置", done: "完成", key_title: "此服务器需要密钥", key_words: "密钥只存在本浏览器中，只发给此服务器。", key: "API 密钥",
    key_wrong: "密钥不对。", hello: "有什么想问的？", goes_on: "这个模型会续写文章，请写个开头。",
    sources: "出处", from_documents: "回答取自此服务器的文档，并注明出处。", tokens: "{n} 个词元", rate: "{rate} 词元/秒", cut: "达到长度上限，已截断",
    stopped: "已停止", forgot: "对话超出了模型能读的长度，开头部分已略去。", unreachable: "连不上服务器。它在运行吗？",
    broken: "回答中断了。", retry: "重试", failed: "服务器返回 {status}。",
  },
};
const LANGUAGE = (navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en";
const say = (word, values = {}) => WORDS[LANGUAGE][word].replace(/\{(\w+)\}/g, (_, name) => values[name]);
