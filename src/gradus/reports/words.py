"""Every fixed sentence of the pages, in English and in Chinese; metrics and settings keep the names that are typed."""

from __future__ import annotations

import os

from gradus.reports.vocabulary_words import VOCABULARY

LANGUAGES = ("en", "zh")

TABLE: dict[str, tuple[str, str]] = {
    # masthead
    "report_of": ("Report of a training run", "训练报告"),
    "theme": ("Light or dark", "明暗切换"),
    "running": ("training", "训练中"),
    "finished": ("finished", "已完成"),
    "unfinished": ("unfinished", "未完成"),
    "lost": (
        "This run is no longer being served. If it was stopped, go on with gradus resume.",
        "此页面已停止更新。若训练被中断，可用 gradus resume 继续。",
    ),
    "step_of": ("step {step} of {total}", "第 {step} 步，共 {total} 步"),
    "go_on": ("It stands at step {step} of {total}. Go on with:", "目前在第 {step} 步，共 {total} 步。继续训练："),
    "so_far": ("What is below is what there is so far.", "以下为目前已有的内容。"),
    "recipe": ("recipe", "配方"),
    "own_code": ("code of one's own", "自己的代码"),
    "data": ("data", "数据"),
    "model": ("model", "模型"),
    "parameters": ("{count} parameters", "{count} 个参数"),
    "device": ("device", "设备"),
    "begun": ("begun", "开始时间"),
    "took": ("took", "用时"),
    "seconds": ("{value} s", "{value} 秒"),
    "ended": ("ended", "结束原因"),
    "weights": ("weights", "所用权重"),
    "weights_last": ("the last ones", "最后一步的权重"),
    "weights_average": ("averaged over the last steps", "平均后的权重"),
    "weights_best": ("the best ones, of step {step}", "最佳权重（第 {step} 步）"),
    "resumed": ("resumed at step", "曾从以下步继续"),
    "skipped": ("skipped", "跳过"),
    "updates": ("{count} updates, whose loss or gradient wasn't finite", "{count} 次更新，其损失或梯度不是有限的数"),
    "accident": ("Step {step}: {value} in {where}", "第 {step} 步：{where} 出现 {value}"),
    "of_batch": ("{count} of {batch} samples of the batch: {shown}", "该批 {batch} 个样本中的 {count} 个：{shown}"),
    # result
    "result": ("Result", "结果"),
    "on_rows": ("{metric} on {rows} {split} rows", "{split}（{rows} 行）上的 {metric}"),
    "this_run": ("this run", "本次训练"),
    "higher": ("further right is better", "越靠右越好"),
    "lower": ("further left is better", "越靠左越好"),
    "standard_error": ("± is one standard error for {rows} rows.", "± 为 {rows} 行时的一个标准误差。"),
    "then": (". ", "。"),
    "no_baselines": (
        "There is no baseline to hold it against: no rows were kept for a test.",
        "没有基线可比：未留出测试数据。",
    ),
    "all_metrics": ("All metrics", "全部指标"),
    "metric": ("metric", "指标"),
    "folds": ("Over {folds} folds", "{folds} 折交叉验证"),
    "mean_sd": ("mean ± sd", "均值 ± 标准差"),
    "noted": ("Noted by the recipe", "配方记下的数值"),
    "train": ("train", "训练集"),
    "valid": ("validation", "验证集"),
    "test": ("test", "测试集"),
    # verdict
    "verdict": ("Verdict", "诊断"),
    "no_findings": (
        "No findings. The first steps, the curves and the last weights were looked at.",
        "没有发现错误：检查了最初几步、各条曲线和最后的权重。",
    ),
    "not_examined": (
        "No findings. Nothing has examined this run, so this is neither praise nor blame.",
        "暂无诊断结论。没有检查程序审视过这次训练，因此这既非肯定也非否定。",
    ),
    "fault": ("fault: proved", "错误：已证实"),
    "likely": ("likely", "很可能"),
    "note": ("note: it depends on what was meant", "提示：取决于本意"),
    "explains": ("This explains, too", "由此引起"),
    "evidence": ("Evidence", "依据"),
    "cause": ("Cause", "原因"),
    "change": ("Change one thing", "只改一处"),
    # curves
    "curves": ("Learning curves", "学习曲线"),
    "curves_note": (
        "Faint: as logged. Strong: exponentially smoothed, alike in steps for every curve.",
        "浅色为原始记录，深色为指数平滑；各曲线按步数同等平滑。",
    ),
    "smoothing": ("Smoothing", "平滑"),
    "log_scale": ("Logarithmic", "对数坐标"),
    "loss": ("Loss", "损失"),
    "step": ("step", "步"),
    "smoothed": ("smoothed", "平滑"),
    "nothing_logged": ("Nothing has been logged yet.", "尚无记录。"),
    "not_finite": ("From step {step} on the {what} is not a number.", "从第 {step} 步起，{what} 不再是有效数字。"),
    # mistakes
    "confusion": ("Confusion", "混淆矩阵"),
    "confusion_note": ("True class by predicted class, on the {split} rows.", "真实类别与预测类别（{split}）。"),
    "confusion_some": (
        "The {shown} classes with the most mistakes, of {all}.",
        "仅显示错误最多的 {shown} 个类别，共 {all} 个。",
    ),
    "predicted": ("predicted", "预测"),
    "true": ("true", "真实"),
    "class": ("class", "类别"),
    "rows": ("rows", "行数"),
    "recall": ("found", "查全率"),
    "precision": ("right when said", "查准率"),
    "found_note": (
        "“Found” is recall, “right when said” is precision.",
        "查全率：该类中被认出的比例；查准率：判为该类时正确的比例。",
    ),
    "undefined": (
        "{rows} rows got an answer that is not a number and are left out here.",
        "{rows} 行的输出不是有效数字，未计入此处。",
    ),
    "residuals": ("Residuals", "残差"),
    "residuals_note": ("Predicted against true, on the {split} rows.", "预测值与真实值（{split}）。"),
    "against": ("Predicted against true", "预测值与真实值"),
    "difference": ("predicted − true", "预测 − 真实"),
    "count": ("rows", "行数"),
    "equal": ("predicted = true", "预测 = 真实"),
    "worst": ("Worst mistakes", "最大的错误"),
    "worst_note": ("Those of the highest loss first. Rows count from 0.", "按损失从高到低排列，行号从 0 起。"),
    "no_mistakes": ("Not one mistake on the {rows} {split} rows.", "{split} {rows} 行中没有一个错误。"),
    "least_sure": ("Right, but by the least margin", "判对但最勉强的"),
    "row": ("row {row}", "第 {row} 行"),
    "more_rows": ("{count} more rows", "另有 {count} 行"),
    "more_values": ("and {count} more", "另有 {count} 项"),
    "missing": ("missing", "缺失"),
    # samples
    "samples": ("As the model sees it", "模型看到的样本"),
    "samples_note": (
        "The first training batch, as the model sees it: augmented.",
        "第一个训练批次，即经过增强后模型看到的样子。",
    ),
    "samples_rows": ("Rows of the first training batch.", "第一个训练批次中的若干行。"),
    "samples_tokens": (
        "Rows of the first training batch, and the tokens that the model sees of them.",
        "第一个训练批次中的若干行，以及模型看到的词元。",
    ),
    # texts
    "the_data": ("The data", "数据情况"),
    "lengths": ("Length of {name}", "{name} 的长度"),
    "tokens": ("tokens", "词元"),
    "token": ("token", "词元"),
    "longest": (
        "{name}: {mean} tokens on average, the longest has {longest}.",
        "{name}：平均 {mean} 个词元，最长 {longest} 个。",
    ),
    "clipped": (" The last bar holds {count} longer ones.", "最后一条含更长的 {count} 行。"),
    "padding": (
        "{sorted} of the batches is padding, for texts of like length share one; by chance it would be {chance}.",
        "批次中的填充占 {sorted}：长度相近的文本同批；若随机分批则为 {chance}。",
    ),
    "more_text": ("the whole text", "全文"),
    "pieces": ("tokens: {count}", "词元数：{count}"),
    "part": ("(part of a character)", "（字符的一部分）"),
    "confusions": ("Most often taken for one another", "最常混淆的类别"),
    "of_class": ("of the class", "占该类"),
    "example": ("for example", "例如"),
    "learnt": ("What it wrote as it learnt", "学习过程中写出的文字"),
    "learnt_note": ("From nothing at each check, at three temperatures.", "每次验证时以三种温度从零写起。"),
    "learnt_answers": ("The same few texts at each check.", "每次验证时用同样的几段文本。"),
    "step_number": ("step {step}", "第 {step} 步"),
    "temperature": ("at {value}", "温度 {value}"),
    "source": ("source", "原文"),
    "reference": ("reference", "参考"),
    "said": ("written", "模型"),
    "answers": ("What it answers", "模型的回答"),
    "answers_note": (
        "Of some {split} rows, by chrF: how many letter groups of the reference are found again.",
        "取自{split}的若干行，按 chrF 排列：参考文本中的字符片段有多少被写出。",
    ),
    "answers_best": ("Best", "最好的"),
    "answers_middle": ("Middling", "中等的"),
    "answers_worst": ("Worst", "最差的"),
    "expected": ("right is", "正确答案"),
    "questions": ("Questions of the test", "测试题"),
    "questions_note": (
        "None of them was learnt from, in these words or in others. The last line of an answer is what counts.",
        "训练中没有这些题，换一种问法的也没有。以回答的最后一行为准。",
    ),
    "questions_kind": ("kind", "类别"),
    "questions_right": ("right", "正确率"),
    "kind_arithmetic": ("arithmetic", "算术"),
    "kind_reversing": ("turning round", "倒序"),
    "kind_counting": ("counting", "数数"),
    "kind_dates": ("dates", "日期"),
    "kind_lookup": ("found in a text", "从文中找"),
    "kind_refusing": ("not in the text", "文中没有的"),
    "kind_following": ("one question after another", "连续提问"),
    "kind_new_words": ("in words that training never had", "换一种问法"),
    "kind_after_others": ("in a chat, after two others", "聊天中，在另外两题之后"),
    "attention": ("Attention", "注意力"),
    "attention_note": (
        "How much the model looked at each token of the source, across, as it wrote each token, down.",
        "模型写下每个词元（纵）时，对原文各词元（横）的注意程度。",
    ),
    "written": ("What it writes", "模型写出的文字"),
    "written_note": (
        "From nothing, and from how some rows begin. The lower the temperature, the surer and the more alike.",
        "从零写起，或接着若干行的开头写。温度越低，越稳妥，也越雷同。",
    ),
    "from_nothing": ("From nothing", "从零写起"),
    "surprises": ("What surprises it", "出乎模型意料之处"),
    "surprises_note": (
        "The darker, the more bits a token costs. Taken from {rows} of the {split} rows.",
        "颜色越深，该词元所需比特越多。取自{split}中的 {rows} 行。",
    ),
    "bits_each": ("{bits} bits a token", "每词元 {bits} 比特"),
    "costs": ("{bits} bits", "{bits} 比特"),
    "costly": ("Tokens that cost most", "代价最高的词元"),
    "how_often": ("how often", "次数"),
    "bits": ("bits each", "每次比特"),
    "share_of_bits": ("of all bits", "占全部比特"),
    "tagged": ("Labels", "逐词元标注"),
    "tagged_note": (
        "Each token, below it its label, and below that what the model said. Most mistakes first.",
        "每个词元，其下为标签，再下为模型所说。错误多者在前。",
    ),
    "wrong_labels": ("{count} wrong", "错 {count} 处"),
    "unigram model": ("unigram model", "一元模型"),
    "5-gram model": ("5-gram model", "五元模型"),
    "answer of the nearest text": ("answer of the nearest text", "最相近文本的答案"),
    "tf-idf and a linear SVM": ("tf-idf and a linear SVM", "tf-idf 与线性 SVM"),
    # steps
    "steps": ("Step by step", "逐步记录"),
    "steps_note": ("How far each step went, and how steep the loss was.", "每一步走多远，损失的坡度有多陡。"),
    "lr": ("Learning rate", "学习率"),
    "grad_norm": ("Gradient norm", "梯度范数"),
    "before_clipping": ("before clipping", "裁剪之前"),
    # layers, time, settings
    "layers": ("Layers", "模型结构"),
    "layer": ("layer", "层"),
    "kind": ("kind", "类型"),
    "shape": ("output shape", "输出形状"),
    "parameter_count": ("parameters", "参数量"),
    "total": ("total", "合计"),
    "time": ("Time", "时间"),
    "time_train": ("training", "训练"),
    "time_validate": ("validation", "验证"),
    "time_data_wait": ("waiting for data", "等待数据"),
    "time_save": ("saving", "保存"),
    "time_compile": ("compiling", "编译"),
    "speed": ("{total} s in all, {rate} samples a second.", "共 {total} 秒，每秒 {rate} 个样本。"),
    "settings": ("Settings", "设置"),
    "settings_note": ("Each with where it came from, each choice with its reason.", "每项设置的来源，每个选择的理由。"),
    "setting": ("setting", "设置"),
    "value": ("value", "值"),
    "from": ("from", "来源"),
    "reason": ("reason", "理由"),
    "chosen": ("Chosen", "自动选择"),
    "defaults": ("{count} settings left at their defaults", "{count} 项保持默认值"),
    "command line": ("command line", "命令行"),
    "argument": ("argument", "参数"),
    "default": ("default", "默认"),
    "not_set": ("not set", "未设置"),
    "old_run": (
        "No evidence was kept of this run: it was made by an older version.",
        "此运行由旧版本产生，未保存相关数据。",
    ),
    "made_with": ("Made with", "环境"),
    "fingerprint": ("data fingerprint", "数据指纹"),
    "most frequent class": ("most frequent class", "最常见的类别"),
    "mean of the training targets": ("mean of the training targets", "训练目标的均值"),
    "logistic regression": ("logistic regression", "逻辑回归"),
    "ridge regression": ("ridge regression", "岭回归"),
    # compare
    "compare": ("Comparison of {count} runs", "{count} 次运行的比较"),
    "runs": ("Runs", "运行"),
    "run": ("run", "运行"),
    "state": ("state", "状态"),
    "metrics": ("Metrics", "指标"),
    "metrics_note": ("The best of each row is marked.", "每行最佳者已标出。"),
    "best": ("best", "最佳"),
    "other_data": (
        "Not all of these runs have the same data, so their metrics don't compare.",
        "这些运行使用的数据不同，其指标不可直接比较。",
    ),
    "differences": ("What differs", "不同之处"),
    "no_differences": ("No setting differs.", "设置完全相同。"),
    "train_loss": ("Training loss", "训练损失"),
    "valid_loss": ("Validation loss", "验证损失"),
    "steps_taken": ("steps", "步数"),
    "seconds_taken": ("seconds", "秒"),
    **VOCABULARY,
}


class Words:
    """The sentences in one language: ``words("seconds", value=3)``."""

    def __init__(self, lang: str) -> None:
        self.lang = lang
        self._place = LANGUAGES.index(lang)

    def __call__(self, key: str, **values: object) -> str:
        sentence = TABLE[key][self._place]
        return sentence.format(**values) if values else sentence

    def term(self, name: str) -> str:
        """A name that is noted in the run, a baseline's say, in the page's language where the table has it."""
        return TABLE[name][self._place] if name in TABLE else name


def language() -> str:
    """The language of the environment: Chinese where its locale begins with zh, else English."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(variable):
            return "zh" if os.environ[variable].lower().startswith("zh") else "en"
    return "en"
