"""Makes scores.json, which the test of the head compares with: pip install
"transformers<4.50" jax flax, then python reference_scores.py. It is the
implementation of BERT for JAX, in double precision, with the weights of
reference.py: numbers that follow from the names of the tables.
"""
import json
import jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np
import transformers

DIM, INNER, PLACES, VOCAB = 64, 96, 160, 92


def fnv(data):
    h = 2166136261
    for b in data:
        h = (h ^ b) * 16777619 & 0xFFFFFFFF
    return h


def fill(name, *shape):
    i = np.arange(int(np.prod(shape)), dtype=np.uint64)
    x = (i * 2654435761 + fnv(name.encode())) & 0xFFFFFFFF
    x = ((x ^ x >> 15) * 2246822519) & 0xFFFFFFFF
    x = x ^ x >> 13
    v = ((x >> 8).astype(np.float32) / 2**23 - 1) / 4
    if name.endswith("LayerNorm.weight"):
        v = v + 1
    return v.reshape(shape).astype(np.float64)


def dense(name, inputs, outputs):
    return {"kernel": fill(name + ".weight", outputs, inputs).T, "bias": fill(name + ".bias", outputs)}


def norm(name):
    return {"scale": fill(name + ".weight", DIM), "bias": fill(name + ".bias", DIM)}


def layer(i):
    p = f"encoder.layer.{i}."
    return {
        "attention": {
            "self": {part: dense(p + "attention.self." + part, DIM, DIM) for part in ("query", "key", "value")},
            "output": {"dense": dense(p + "attention.output.dense", DIM, DIM), "LayerNorm": norm(p + "attention.output.LayerNorm")},
        },
        "intermediate": {"dense": dense(p + "intermediate.dense", DIM, INNER)},
        "output": {"dense": dense(p + "output.dense", INNER, DIM), "LayerNorm": norm(p + "output.LayerNorm")},
    }


params = {
    "bert": {
        "embeddings": {
            "word_embeddings": {"embedding": fill("embeddings.word_embeddings.weight", VOCAB, DIM)},
            "position_embeddings": {"embedding": fill("embeddings.position_embeddings.weight", PLACES, DIM)},
            "token_type_embeddings": {"embedding": fill("embeddings.token_type_embeddings.weight", 2, DIM)},
            "LayerNorm": norm("embeddings.LayerNorm"),
        },
        "encoder": {"layer": {str(i): layer(i) for i in range(2)}},
        "pooler": {"dense": dense("pooler.dense", DIM, DIM)},
    },
    "classifier": dense("classifier", DIM, 1),
}
config = transformers.BertConfig(vocab_size=VOCAB, hidden_size=DIM, num_hidden_layers=2, num_attention_heads=2, intermediate_size=INNER,
                                 max_position_embeddings=PLACES, num_labels=1)
model = transformers.FlaxBertForSequenceClassification(config, dtype=jnp.float64)
pairs = [[2 + (i * 37 + n) % 90 for i in range(n)] for n in (3, 9, 40, 150)]
second = [2, 4, 11, 30]
scores = []
for ids, at in zip(pairs, second):
    types = [0 if i < at else 1 for i in range(len(ids))]
    out = model(jnp.array([ids]), token_type_ids=jnp.array([types]), params=jax.tree_util.tree_map(jnp.asarray, params), train=False)
    scores.append(round(float(out.logits[0, 0]), 9))
json.dump({"pairs": pairs, "second": second, "scores": scores}, open(__file__.rsplit("/", 1)[0] + "/scores.json", "w"), separators=(",", ":"))
print(scores)
