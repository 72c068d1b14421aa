"""The sentences of a vocabulary's report, in English and in Chinese."""

from __future__ import annotations

VOCABULARY: dict[str, tuple[str, str]] = {
    "report_of_vocabulary": ("Report of a vocabulary", "词表报告"),
    "vocabulary": ("vocabulary", "词表"),
    "tokens_because": ("{count} tokens ({reason})", "{count} 个词元（{reason}）"),
    "bytes_a_token": (
        "bytes of text a token stands for, over {size} MB that it never saw. By single bytes it would be 1.",
        "每个词元平均代表的字节数，在 {size} MB 未见过的文本上测得；逐字节切分时为 1。",
    ),
    "cuts_note": (
        "More bytes a token make a text shorter, and so cheaper to learn and to write.",
        "每个词元代表的字节越多，文本就越短，学习和生成的代价也越小。",
    ),
    "by_line": ("kind of line", "行的种类"),
    "by_token": ("kind of token", "词元的种类"),
    "bytes_per_token": ("bytes a token", "字节/词元"),
    "chars_per_token": ("characters a token", "字符/词元"),
    "share_of_text": ("of the text", "占文本"),
    "vocabulary_latin": ("Latin letters", "拉丁字母"),
    "vocabulary_chinese": ("Chinese", "中文"),
    "vocabulary_code": ("what looks like code", "像代码的行"),
    "vocabulary_other": ("other letters", "其他文字"),
    "vocabulary_signs": ("no letters", "没有文字"),
    "vocabulary_letters": ("Latin letters", "拉丁字母"),
    "vocabulary_han": ("Chinese characters", "汉字"),
    "vocabulary_letters_other": ("other letters", "其他文字"),
    "vocabulary_digits": ("digits", "数字"),
    "vocabulary_sign": ("signs", "符号"),
    "vocabulary_blank": ("blanks and ends of lines", "空白与换行"),
    "vocabulary_part": ("parts of a character", "字符的一部分"),
    "round_trip": (
        "Every one of these texts comes back from its tokens exactly.",
        "所有这些文本都能由词元原样还原。",
    ),
    "no_round_trip": ("Not every text comes back from its tokens.", "有文本不能由词元原样还原。"),
    "tokens_frequent": ("The most frequent", "最常见的"),
    "tokens_longest": ("The longest", "最长的"),
    "tokens_note": (
        "A blank is shown as ␣, the end of a line as ⏎, a part of a character as its bytes.",
        "空格显示为 ␣，换行显示为 ⏎，字符的一部分显示为其字节。",
    ),
    "occurs": ("token {id}, {count} times in the held-out text", "词元 {id}，在留出文本中出现 {count} 次"),
    "tokens_unused": (
        "{count} tokens don't occur in the held-out text at all.",
        "有 {count} 个词元在留出文本中从未出现。",
    ),
}
