package foreign

import (
	"archive/zip"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxMember bounds a member of an archive, unpacked, and a JSON export.
const maxMember = 2 * MaxText

// ReadFile reads an export of KnowledgeBeast: a ZIP of version 2, or JSON of
// version 1.0.
func ReadFile(name string) (Base, error) {
	f, err := os.Open(name)
	if err != nil {
		return Base{}, err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return Base{}, err
	}
	if !info.Mode().IsRegular() {
		return Base{}, fmt.Errorf("%s is no file", name)
	}
	base, err := read(f, info.Size())
	if err != nil {
		return Base{}, fmt.Errorf("%s: %w", name, err)
	}
	if base.Name = strings.TrimSpace(base.Name); base.Name == "" {
		base.Name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	}
	var b budget
	return base, b.take(base.Records)
}

// read tells the two forms apart by how they begin.
func read(f io.ReaderAt, size int64) (Base, error) {
	var magic [4]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil {
		return Base{}, errors.New("too short for an export of KnowledgeBeast")
	}
	if string(magic[:]) == "PK\x03\x04" {
		return readZIP(f, size)
	}
	if !strings.HasPrefix(strings.TrimLeft(string(magic[:]), " \t\r\n\xef\xbb\xbf"), "{") {
		return Base{}, errors.New("neither a ZIP nor a JSON export of KnowledgeBeast; one in YAML can be exported as JSON")
	}
	return readJSON(io.NewSectionReader(f, 0, size))
}

// project is how both forms describe where the documents are from.
type project struct {
	Name string `json:"name"`
	ID   string `json:"project_id"`
}

func readZIP(f io.ReaderAt, size int64) (Base, error) {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return Base{}, err
	}
	var manifest struct {
		Version string `json:"version"`
		Name    string `json:"project_name"`
		Count   *int   `json:"document_count"`
	}
	if err := member(z, "manifest.json", &manifest); err != nil {
		return Base{}, err
	}
	if !strings.HasPrefix(manifest.Version, "2.") {
		return Base{}, fmt.Errorf("manifest.json: version %q, where 2.x can be read", manifest.Version)
	}
	var documents struct {
		IDs       []string         `json:"ids"`
		Documents []*string        `json:"documents"`
		Metadatas []map[string]any `json:"metadatas"`
	}
	if err := member(z, "documents.json", &documents); err != nil {
		return Base{}, err
	}
	records, err := columns(documents.IDs, documents.Documents, documents.Metadatas)
	if err != nil {
		return Base{}, fmt.Errorf("documents.json: %w", err)
	}
	if manifest.Count != nil && *manifest.Count != len(records) {
		return Base{}, fmt.Errorf("manifest.json counts %d documents, and documents.json has %d: the export is not whole", *manifest.Count, len(records))
	}
	return Base{Name: manifest.Name, Records: records}, nil
}

// member decodes a member of an archive, as far as it may be large.
func member(z *zip.Reader, name string, into any) (err error) {
	f, err := z.Open(name)
	if err != nil {
		return fmt.Errorf("no export of KnowledgeBeast: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return decode(f, name, into)
}

// decode reads one JSON value that is the whole of r.
func decode(r io.Reader, name string, into any) error {
	limited := &io.LimitedReader{R: r, N: maxMember + 1}
	d := json.NewDecoder(limited)
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("goes on after its end")
		}
	}
	if limited.N <= 0 {
		err = fmt.Errorf("larger than %d MiB", maxMember>>20)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// columns puts together what lies in lists side by side. Texts and what is known of
// them may be missing, identities may not.
func columns(ids []string, texts []*string, metas []map[string]any) ([]Record, error) {
	if texts != nil && len(texts) != len(ids) || metas != nil && len(metas) != len(ids) {
		return nil, fmt.Errorf("%d ids, %d documents and %d metadatas do not belong together", len(ids), len(texts), len(metas))
	}
	records := make([]Record, len(ids))
	for i, id := range ids {
		records[i].ID = id
		if i < len(texts) && texts[i] != nil {
			records[i].Text = *texts[i]
		}
		if i < len(metas) {
			records[i].Meta = metas[i]
		}
	}
	return records, nil
}

func readJSON(r io.Reader) (Base, error) {
	var export struct {
		Version   string  `json:"version"`
		Project   project `json:"project"`
		Documents []struct {
			ID      string         `json:"id"`
			Content string         `json:"content"`
			Meta    map[string]any `json:"metadata"`
		} `json:"documents"`
	}
	if err := decode(r, "export", &export); err != nil {
		return Base{}, err
	}
	if export.Version != "1.0" {
		return Base{}, fmt.Errorf("version %q, where 1.0 can be read", export.Version)
	}
	base := Base{Name: cmp.Or(export.Project.Name, export.Project.ID)}
	for _, d := range export.Documents {
		base.Records = append(base.Records, Record{ID: d.ID, Text: d.Content, Meta: d.Meta})
	}
	return base, nil
}
