"""A small BERT classifier trained by the Trainer of transformers: does a row of tokens hold more high ones than low?"""

import sys
import tempfile
import warnings

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

warnings.filterwarnings("ignore")


class Rows(torch.utils.data.Dataset):
    def __init__(self, count: int, seed: int) -> None:
        chance = torch.Generator().manual_seed(seed)
        self.ids = torch.randint(2, 64, (count, 17), generator=chance)
        self.labels = ((self.ids >= 33).sum(1) > 8).long()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, number: int) -> dict:
        return {"input_ids": self.ids[number], "labels": self.labels[number]}


class Print(TrainerCallback):
    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        if logs and "loss" in logs:
            print(f"loss {logs['loss']} {logs.get('grad_norm')}")


def main() -> None:
    set_seed(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    config = BertConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=32,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, num_train_epochs=4, per_device_train_batch_size=32, learning_rate=2e-3, logging_steps=10,
            report_to=[], save_strategy="no", disable_tqdm=True, use_cpu=True, eval_strategy="epoch",
        )  # fmt: skip
        trainer = Trainer(
            BertForSequenceClassification(config), arguments, train_dataset=Rows(1000, 1), eval_dataset=Rows(200, 2),
            callbacks=[Print()],
        )  # fmt: skip
        trainer.train()


if __name__ == "__main__":
    main()
