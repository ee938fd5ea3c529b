"""CLAP's two encoders by the reference implementations of `transformers`.

    clap_reference.py DIR FUNCTIONS.json TEXTS.json SIZE

writes DIR/asm and DIR/text as the Hugging Face Hub would have them, of seeded
random numbers, and DIR/expected.json: the token ids and the vectors of the
functions and texts. SIZE is `published` for the shapes of the released models,
or `small`.
"""

import json
import sys

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from torch import nn
from transformers import MPNetConfig, MPNetModel, PreTrainedTokenizerFast
from transformers import RoFormerConfig, RoFormerModel


class AsmEncoder(nn.Module):
    """RoFormer without biases of queries, keys and values, its token types
    looked up in the table of its words, with a projection of the mean."""

    def __init__(self, config):
        super().__init__()
        self.jroformer = RoFormerModel(config)
        self.jroformer.embeddings.token_type_embeddings = (
            self.jroformer.embeddings.word_embeddings
        )
        for layer in self.jroformer.encoder.layer:
            attention = layer.attention.self
            for name in ("query", "key", "value"):
                width = config.hidden_size
                setattr(attention, name, nn.Linear(width, width, bias=False))
        self.projection = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, input_ids, token_type_ids, attention_mask):
        hidden = self.jroformer(
            input_ids, token_type_ids=token_type_ids, attention_mask=attention_mask
        ).last_hidden_state
        vectors = self.projection(mean(hidden, attention_mask))
        return nn.functional.normalize(vectors, p=2, dim=1)


def mean(hidden, mask):
    mask = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)


def scatter(model):
    """Weights under which attention and order matter: the usual start is too
    near to zero for that."""
    for name, parameter in model.named_parameters():
        if "embed_positions" in name or "position_embeddings" in name:
            continue
        if parameter.dim() > 1:
            spread = 0.5 if "embeddings" in name else 1.5 / parameter.shape[1] ** 0.5
            nn.init.normal_(parameter, std=spread)
        elif name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
        else:
            nn.init.normal_(parameter, mean=1.0, std=0.1)
    if hasattr(model, "encoder") and hasattr(model.encoder, "relative_attention_bias"):
        nn.init.normal_(model.encoder.relative_attention_bias.weight, std=1.0)
    return model.eval()


def save(model, folder, config, tokenizer):
    folder.mkdir(parents=True)
    weights = {
        name: tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if "token_type_embeddings" not in name and "position_ids" not in name
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer.save(str(folder / "tokenizer.json"))


def pad(rows, value, to):
    return torch.tensor([row + [value] * (to - len(row)) for row in rows])


def pieces(texts):
    """Words of the texts, whole where they are frequent, else letter by letter."""
    counts = {}
    for text in texts:
        normal = normalizers.BertNormalizer(lowercase=True).normalize_str(text)
        for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(normal):
            counts[word] = counts.get(word, 0) + 1
    return [word for word in sorted(counts) if len(word) > 1 and counts[word] > 1]


def vocabulary(first, texts, size):
    entries = list(first)
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    for more in (letters, ["##" + letter for letter in letters], pieces(texts)):
        entries.extend(entry for entry in more if entry not in entries)
    assert len(entries) <= size
    entries.extend(f"unused{number}" for number in range(size - len(entries)))
    return {entry: number for number, entry in enumerate(entries)}


def word_piece(entries, specials, unknown, start, end):
    tokenizer = Tokenizer(WordPiece(entries, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", end), ("<s>", start), trim_offsets=True, add_prefix_space=False
    )
    tokenizer.add_special_tokens(specials)
    return tokenizer


def assembly_tokens(tokenizer, function):
    """CLAP's AsmTokenizer for one function."""
    ids, types = [], []
    for number, line in function.items():
        tokens = tokenizer.tokenize(
            line.replace(",", ""), max_length=20, truncation=True, add_special_tokens=False
        )
        ids += tokens
        types += [f"INSTR{number}"] * len(tokens)
        if len(ids) > 1024:
            ids, types = ids[:1024], types[:1024]
            break
    return tokenizer.convert_tokens_to_ids(ids), tokenizer.convert_tokens_to_ids(types)


def assembly(folder, functions, published):
    first = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"]
    instructions = [f"INSTR{number}" for number in range(1, 1025)]
    lines = [line for function in functions for line in function.values()]
    entries = vocabulary(first + instructions, lines, 33555 if published else 2000)
    inner = word_piece(entries, first + instructions, "[UNK]", 0, 2)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", pad_token="<pad>"
    )
    shape = dict(
        vocab_size=len(entries), embedding_size=768, hidden_size=768, num_hidden_layers=12,
        num_attention_heads=12, intermediate_size=3072, hidden_act="gelu",
        layer_norm_eps=1e-12, max_position_embeddings=2048, type_vocab_size=2,
        pad_token_id=1, rotary_value=False, use_bias=False,
    )
    if not published:
        shape |= dict(embedding_size=32, hidden_size=32, num_hidden_layers=2,
                      num_attention_heads=2, intermediate_size=64)
    model = scatter(AsmEncoder(RoFormerConfig(**shape)))
    save(model, folder, shape | {"model_type": "roformer"}, inner)
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 1024}))
    encoded = [assembly_tokens(tokenizer, function) for function in functions]
    longest = max(len(ids) for ids, _ in encoded)
    longest += -longest % 8
    mask = pad([[1] * len(ids) for ids, _ in encoded], 0, longest)
    with torch.no_grad():
        vectors = model(
            pad([ids for ids, _ in encoded], 1, longest),
            pad([types for _, types in encoded], 1, longest),
            mask,
        )
    return {"encoded": encoded, "vectors": vectors.tolist()}


def english(folder, texts, published):
    first = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"]
    entries = vocabulary(first, texts, 30527 if published else 1000)
    inner = word_piece(entries, first, "[UNK]", 0, 2)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", pad_token="<pad>", model_max_length=512
    )
    shape = dict(
        vocab_size=len(entries), hidden_size=768, num_hidden_layers=12,
        num_attention_heads=12, intermediate_size=3072, hidden_act="gelu",
        layer_norm_eps=1e-5, max_position_embeddings=514,
        relative_attention_num_buckets=32, bos_token_id=0, eos_token_id=2, pad_token_id=1,
    )
    if not published:
        shape |= dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                      intermediate_size=64)
    model = scatter(MPNetModel(MPNetConfig(**shape)))
    save(model, folder, shape | {"model_type": "mpnet"}, inner)
    encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(encoded["input_ids"], encoded["attention_mask"]).last_hidden_state
        vectors = mean(hidden, encoded["attention_mask"])
        vectors = nn.functional.normalize(vectors, p=2, dim=1)
    ids = [tokenizer(text, truncation=True)["input_ids"] for text in texts]
    return {"ids": ids, "vectors": vectors.tolist()}


def main():
    from pathlib import Path

    folder, functions, texts, size = Path(sys.argv[1]), *sys.argv[2:5]
    torch.manual_seed(20240226)
    published = size == "published"
    functions = json.loads(Path(functions).read_text())
    texts = json.loads(Path(texts).read_text())
    expected = {
        "assembly": assembly(folder / "asm", functions, published),
        "text": english(folder / "text", texts, published),
    }
    (folder / "expected.json").write_text(json.dumps(expected))


main()
