"""Makes what the tests compare this package with, by the libraries that the models
are published for: pip install torch transformers tokenizers sentencepiece protobuf,
then python reference.py CORPUS [TOKENIZER.json], where CORPUS is the corpus.jsonl
of the evaluation's sample, and TOKENIZER.json that of all-MiniLM-L6-v2.

The weights of the small networks and the odd texts follow from formulas that the
tests have, too, so that only results are kept here.
"""
import base64, gzip, json, re, struct, sys, tempfile
import sentencepiece, tokenizers, torch, transformers
from sentencepiece import sentencepiece_model_pb2

here = __file__.rsplit("/", 1)[0]


def fnv(data):
    h = 2166136261
    for b in data:
        h = (h ^ b) * 16777619 & 0xFFFFFFFF
    return h


def fill(name, shape):
    """Numbers that follow from the name of a table, exact in float32."""
    n = 1
    for d in shape:
        n *= d
    i = torch.arange(n, dtype=torch.int64)
    x = (i * 2654435761 + fnv(name.encode())) & 0xFFFFFFFF
    x = ((x ^ x >> 15) * 2246822519) & 0xFFFFFFFF
    x = x ^ x >> 13
    v = (x >> 8).to(torch.float32) / 2**23 - 1
    v = v / 4
    if name.endswith("LayerNorm.weight"):
        v = v + 1
    return v.reshape(shape)


def network(model, sequences, pooling):
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(fill(name, list(p.shape)))
        out = []
        for ids in sequences:
            rows = model.double()(input_ids=torch.tensor([ids])).last_hidden_state[0]
            v = rows.mean(0) if pooling == "mean" else rows[0]
            out.append([round(x, 8) for x in (v / v.norm()).tolist()])
    return out


def networks():
    sequences = [[2 + (i * 37 + n) % 90 for i in range(n)] for n in (1, 5, 40, 150)]
    small = dict(vocab_size=92, num_hidden_layers=2, intermediate_size=96)
    bert = transformers.BertModel(transformers.BertConfig(hidden_size=64, num_attention_heads=2, max_position_embeddings=160, **small), add_pooling_layer=False).eval()
    mpnet = transformers.MPNetModel(transformers.MPNetConfig(hidden_size=128, num_attention_heads=2, max_position_embeddings=162, layer_norm_eps=1e-5, **small), add_pooling_layer=False).eval()
    return [
        {"network": "bert", "heads": 2, "epsilon": 1e-12, "pooling": "mean", "sequences": sequences, "vectors": network(bert, sequences, "mean")},
        {"network": "bert", "heads": 2, "epsilon": 1e-12, "pooling": "first", "sequences": sequences, "vectors": network(bert, sequences, "first")},
        {"network": "mpnet", "heads": 2, "epsilon": 1e-5, "pooling": "mean", "sequences": sequences, "vectors": network(mpnet, sequences, "mean")},
    ]


RANGES = [(0x20, 0x7E), (0x20, 0x7E), (0x61, 0x7A), (0x41, 0x5A), (0xA0, 0x17F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x5FF),
          (0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2100, 0x21FF), (0x2460, 0x24FF),
          (0x3000, 0x30FF), (0x3400, 0x3420), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFB00, 0xFB4F), (0xFE00, 0xFE6F),
          (0xFF00, 0xFFEF), (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF), (0xE000, 0xE010), (0x0, 0x1F)]
WORDS = ["<mask>", " <mask>", "<unk>", "<UNK>", "</s>", "<s>", "[UNK]", "[SEP]", "  ", "\r\n", "\u2581", " ", " the ", " knowledge ", "service", "1", ".", "\u00e9", "e\u0301"]


def odd(count):
    x, out = 1, []

    def r(n):
        nonlocal x
        x = (x ^ x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x = (x ^ x << 5) & 0xFFFFFFFF
        return x % n

    for _ in range(count):
        s = ""
        for _ in range(1 + r(24)):
            k = r(len(RANGES) + len(WORDS))
            if k >= len(RANGES):
                s += WORDS[k - len(RANGES)]
                continue
            low, high = RANGES[k]
            for _ in range(1 + r(4)):
                s += chr(low + r(high - low + 1))
        out.append(s)
    return out


MANY = """Das Wissen eines Projekts liegt in seinen Dokumenten, und wer danach fragt, bekommt die Stelle genannt.
Les documents sont découpés en passages, et chaque passage reçoit un vecteur.
El servicio guarda los vectores de cada modelo hasta que todos los fragmentos tienen los nuevos.
Документы разбиваются на части, и каждая часть получает вектор модели.
文件被切成段落，每个段落都有一个向量。搜索结果按相似度排序。
文書は段落に分けられ、それぞれにベクトルが付けられます。検索は意味で行います。
문서는 단락으로 나뉘고 각 단락은 벡터를 갖는다. 검색은 의미로 이루어진다.
تقسم الوثائق إلى مقاطع ولكل مقطع متجه.
המסמכים מחולקים לקטעים ולכל קטע יש וקטור.
दस्तावेज़ों को अनुच्छेदों में बाँटा जाता है और हर अनुच्छेद का एक सदिश होता है।
เอกสารถูกแบ่งออกเป็นย่อหน้า
Tài liệu được chia thành các đoạn và mỗi đoạn có một vectơ.
Τα έγγραφα χωρίζονται σε αποσπάσματα και κάθε απόσπασμα έχει ένα διάνυσμα.
Belgeler bölümlere ayrılır ve her bölümün bir vektörü vardır.
"""


def main(corpus, published=None):
    texts = []
    for line in open(corpus):
        d = json.loads(line)
        texts += [s for s in re.split(r"[.\n]", d["title"] + "\n" + d["text"]) if s]
    real = len(texts)
    texts += odd(10000)
    print(real, "real texts,", len(texts), "in all")

    with tempfile.TemporaryDirectory() as tmp:
        with open(tmp + "/train.txt", "w") as f:
            f.write("\n".join(texts[:real]) + "\n" + MANY * 3)
        word = tokenizers.BertWordPieceTokenizer(lowercase=True)
        word.train([tmp + "/train.txt"], vocab_size=2000, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "[UNK]"], show_progress=False)
        w = json.loads(word.to_str())
        n = len(w["model"]["vocab"])
        w["model"]["vocab"]["<mask>"] = n
        w["added_tokens"] = [{"id": w["model"]["vocab"][s], "content": s, "single_word": False, "lstrip": s == "<mask>", "rstrip": False,
                              "normalized": s == "<unk>", "special": True} for s in ("<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>")]
        w["post_processor"] = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False}
        save("wordpiece", json.dumps(w, ensure_ascii=False), texts)

        sentencepiece.SentencePieceTrainer.train(input=tmp + "/train.txt", model_prefix=tmp + "/u", vocab_size=2000, model_type="unigram",
                                                 character_coverage=1.0, minloglevel=2)
        m = sentencepiece_model_pb2.ModelProto()
        m.ParseFromString(open(tmp + "/u.model", "rb").read())
        pieces = [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]] + [[p.piece, p.score] for p in m.pieces if p.type == 1] + [["<mask>", 0.0]]
        added = [{"id": i, "content": pieces[i][0], "single_word": False, "lstrip": i > 3, "rstrip": False, "normalized": False, "special": True}
                 for i in (0, 1, 2, 3, len(pieces) - 1)]
        table = base64.b64encode(m.normalizer_spec.precompiled_charsmap).decode()
        post = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}, "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}}
        meta = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
        u = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
             "normalizer": {"type": "Precompiled", "precompiled_charsmap": table},
             "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, meta]},
             "post_processor": post, "decoder": meta, "model": {"type": "Unigram", "unk_id": 3, "vocab": pieces, "byte_fallback": False}}
        save("unigram", json.dumps(u, ensure_ascii=False), texts)
        # The same, with blanks as newer models of the family have them.
        u["normalizer"] = {"type": "Sequence", "normalizers": [u["normalizer"], {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]}
        u["pre_tokenizer"] = meta
        save("unigram-blanks", json.dumps(u, ensure_ascii=False), texts, keep=False)
    if published:
        save("minilm", open(published).read(), texts, keep=False)
    with open(here + "/networks.json", "w") as f:
        json.dump(networks(), f, separators=(",", ":"))


def save(name, source, texts, keep=True):
    t = tokenizers.Tokenizer.from_str(source)
    t.no_truncation()
    t.no_padding()
    with open(here + "/" + name + ".sums", "wb") as f:
        for s in texts:
            ids = t.encode(s).ids
            f.write(struct.pack("<H", fnv(struct.pack("<%di" % len(ids), *ids)) & 0xFFFF))
    if keep:
        with gzip.GzipFile(here + "/" + name + ".json.gz", "wb", 9, mtime=0) as f:
            f.write(source.encode())


main(*sys.argv[1:])
