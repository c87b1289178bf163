package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ErrUnknown is the failure of a key that the struct does not have.
var ErrUnknown = errors.New("unknown setting")

// WriteFresh writes a file that lists every setting of cfg with its default,
// all commented out, so that the defaults of later versions still apply. It
// does not overwrite: an existing file is fs.ErrExist unless force is set.
func WriteFresh(path string, cfg any, envPrefix, heading string, force bool) error {
	if Exists(path) && !force {
		return fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	all, err := fields(cfg, envPrefix)
	if err != nil {
		return err
	}
	var b strings.Builder
	for line := range strings.Lines(heading) {
		b.WriteString("# " + line)
	}
	b.WriteString("\n")
	section := ""
	for _, f := range all {
		parts := strings.Split(f.key, ".")
		name, indent := parts[len(parts)-1], strings.Repeat("  ", len(parts)-1)
		if s := strings.Join(parts[:len(parts)-1], "."); s != section {
			section = s
			if s != "" {
				fmt.Fprintf(&b, "\n#%s%s:\n", strings.Repeat("  ", len(parts)-2), parts[len(parts)-2])
			}
		}
		fmt.Fprintf(&b, "#%s# %s ($%s)\n", indent, f.usage, f.envs[0])
		value := f.value.Interface()
		if f.secret {
			value = ""
		}
		line, err := yaml.Marshal(map[string]any{name: plain(value, f)})
		if err != nil {
			return fmt.Errorf("setting %s: %w", f.key, err)
		}
		for l := range strings.Lines(string(line)) {
			b.WriteString("#" + indent + l)
		}
	}
	return writeAtomic(path, []byte(b.String()))
}

// plain makes durations and levels words instead of numbers.
func plain(v any, f field) any {
	switch v.(type) {
	case bool, int, int64, float64, string, []string:
		return v
	}
	return text(f.value)
}

// Set writes one setting into the file, keeping what else is in it, comments
// too; the file is made when missing. The result must load and validate, else
// nothing is written. cfg is a fresh struct with the defaults.
func Set(path string, cfg any, key, value string) error {
	all, err := fields(cfg, "")
	if err != nil {
		return err
	}
	known := false
	for _, f := range all {
		known = known || f.key == key
	}
	if !known {
		return fmt.Errorf("%w %q", ErrUnknown, key)
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(old, &doc); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if doc.Kind == 0 {
		// A file of comments alone has no document; keep its text above ours.
		doc = yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}}
		doc.HeadComment = strings.TrimSpace(string(old))
	}
	setNode(doc.Content[0], strings.Split(key, "."), value)
	data, err := yaml.Marshal(&doc)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := try(path, cfg, data); err != nil {
		return err
	}
	return writeAtomic(path, data)
}

// try loads the new text as a file of its own before it replaces the old one.
func try(path string, cfg any, data []byte) error {
	tmp, err := os.CreateTemp("", "config-*.yaml")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // a file in the temporary directory
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if _, err := Load(cfg, Source{File: tmp.Name(), Required: true, noEnv: true}); err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), tmp.Name(), path))
	}
	return nil
}

func setNode(m *yaml.Node, path []string, value string) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value != path[0] {
			continue
		}
		if len(path) == 1 {
			m.Content[i+1] = scalar(value)
			return
		}
		if m.Content[i+1].Kind != yaml.MappingNode {
			m.Content[i+1] = &yaml.Node{Kind: yaml.MappingNode}
		}
		setNode(m.Content[i+1], path[1:], value)
		return
	}
	m.Kind = yaml.MappingNode
	name := &yaml.Node{Kind: yaml.ScalarNode, Value: path[0]}
	if len(path) == 1 {
		m.Content = append(m.Content, name, scalar(value))
		return
	}
	child := &yaml.Node{Kind: yaml.MappingNode}
	setNode(child, path[1:], value)
	m.Content = append(m.Content, name, child)
}

// scalar lets YAML read the value as it would from a file, so that "true" and
// "5" are no strings, and [a, b] is a list.
func scalar(value string) *yaml.Node {
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(value), &n); err != nil || len(n.Content) != 1 || n.Content[0].Kind == yaml.MappingNode {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
	}
	return n.Content[0]
}

// writeAtomic replaces the file in one step, readable by its owner alone: it
// may hold secrets.
func writeAtomic(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".config-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
