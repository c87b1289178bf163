package knowledge

import (
	"errors"
	"fmt"
	"time"

	"github.com/commandcenter/commandcenter/services/knowledge/internal/embed"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/remote"
)

// Config is what can be set of the service. Begin with [DefaultConfig].
type Config struct {
	Model         string   `config:"model" usage:"embedding model, one of commandcenter models list; off embeds nothing, and search is by words only"`
	ModelDir      string   `config:"model_dir" usage:"directory with model.safetensors, tokenizer.json and, of a model that is not in the list, config.json; empty looks in the user's cache"`
	ProjectModels []string `config:"project_models" usage:"other models that projects may choose; each that one chooses takes its memory in every process"`
	FetchModel    bool     `config:"fetch_model" usage:"fetch the model when it is not on this machine"`
	ModelWorkers  int      `config:"model_workers" usage:"forward passes at a time; 0 is one per processor"`
	Endpoint      Endpoint `config:"endpoint"`

	Wait          time.Duration `config:"wait" usage:"how long an upload waits for its text to be extracted and cut before it is answered 202"`
	Extract       time.Duration `config:"extract" usage:"longest extraction of one document"`
	Extractors    int           `config:"extractors" usage:"extractions at a time"`
	OCR           string        `config:"ocr" usage:"program that reads pages of PDFs which are pictures, where it is installed; empty reads none"`
	OCRLanguages  string        `config:"ocr_languages" usage:"languages of such pages, as tesseract names them (eng+deu); empty takes its default"`
	MaxChunks     int           `config:"max_chunks" usage:"most chunks of one document"`
	ChunkTokens   int           `config:"chunk_tokens" usage:"tokens of a chunk with its title and headings"`
	IndexMemoryMB int           `config:"index_memory_mb" usage:"memory for indexes of projects; the least recently used are dropped"`
	IndexDiskMB   int           `config:"index_disk_mb" usage:"disk for images of indexes below the data directory, from which a restart is ready at once; the least recently used are removed; 0 keeps none"`
	SearchCacheMB int           `config:"search_cache_mb" usage:"memory for answers of searches, which are given again while nothing has changed in the project; 0 keeps none"`
	IndexQuiet    time.Duration `config:"index_quiet" usage:"how long an index has not changed when its image is written; one that never rests is written after ten times that"`
	Jobs          int           `config:"jobs" usage:"documents that one process indexes at a time; large ones leave one place to the others"`

	Alpha  float64 `config:"alpha" usage:"weight of meaning against words in hybrid search, 0 to 1"`
	Fusion string  `config:"fusion" usage:"how the legs are joined: convex or rrf"`
	Rerank Rerank  `config:"rerank"`

	Answer Answering `config:"answer"`

	Housekeeping time.Duration `config:"housekeeping" usage:"how often unreferenced objects are removed and documents without vectors are queued"`
	Orphans      time.Duration `config:"orphans" usage:"age from which an uploaded object that nothing refers to is removed; longer than any upload takes"`
	Removals     time.Duration `config:"removals" usage:"how long removals are remembered for indexes that were not used meanwhile"`
}

// Endpoint is a service that embeds texts, which the setting model names by
// [EndpointModel].
type Endpoint struct {
	Kind       string `config:"kind" usage:"how the service is spoken to: openai or gemini; empty is no service"`
	URL        string `config:"url" usage:"its address, before /embeddings or /models; empty is the public one of the kind"`
	Model      string `config:"model" usage:"its model, as it names it"`
	Key        string `config:"key" secret:"true" usage:"the key that it is given"`
	KeyFile    string `config:"key_file" usage:"a file with the key, in place of key"`
	Dimensions int    `config:"dimensions" usage:"numbers in a vector of its"`
}

// EndpointModel is the name of the service's model among the others.
const EndpointModel = "endpoint"

func (e Endpoint) service() remote.Config { return remote.Config(e) }

// DefaultConfig is right for an instance of any size.
func DefaultConfig() Config {
	return Config{
		Model: embed.Default, FetchModel: true,
		Wait: 3 * time.Second, Extract: time.Minute, Extractors: 2, OCR: "tesseract", MaxChunks: 30_000, ChunkTokens: 220, IndexMemoryMB: 512, IndexDiskMB: 2048, SearchCacheMB: 32, IndexQuiet: 20 * time.Second, Jobs: 2,
		Alpha: 0.5, Fusion: "convex",
		Rerank:       Rerank{Model: embed.DefaultRanker, Candidates: 20, Deadline: 2 * time.Second, AtOnce: 4},
		Answer:       Answering{Passages: 8, Context: 12_000, Tokens: 800, Deadline: time.Minute, AtOnce: 4, PerProject: 2, CacheMB: 16},
		Housekeeping: 5 * time.Minute, Orphans: 6 * time.Hour, Removals: 7 * 24 * time.Hour,
	}
}

// wordsOnly reports whether nothing is embedded.
func (c Config) wordsOnly() bool { return c.Model == "off" || c.Model == "false" || c.Model == "0" }

// embedding is the model of the table that is chosen.
func (c Config) embedding() (embed.Model, bool) {
	if c.Model == "true" || c.Model == "1" { // when there was but one
		return embed.Named(embed.Default)
	}
	return embed.Named(c.Model)
}

// Validate returns all faults at once.
func (c Config) Validate() error {
	var faults []error
	fault := func(bad bool, msg string) {
		if bad {
			faults = append(faults, errors.New(msg))
		}
	}
	offered := c.Endpoint.Kind != ""
	if offered {
		if err := c.Endpoint.service().Validate(); err != nil {
			faults = append(faults, fmt.Errorf("endpoint.%w", err))
		}
	}
	_, known := c.embedding()
	fault(!known && !c.wordsOnly() && (!offered || c.Model != EndpointModel), fmt.Sprintf("model: %q is not one of commandcenter models list", c.Model))
	for _, name := range c.ProjectModels {
		_, ok := embed.Named(name)
		ok = ok || offered && name == EndpointModel
		fault(!ok || name == "", fmt.Sprintf("project_models: %q is not one of commandcenter models list", name))
	}
	fault(c.wordsOnly() && len(c.ProjectModels) > 0, "project_models: without a model of the instance nothing is embedded")
	fault(c.Wait < 100*time.Millisecond || c.Wait > 20*time.Second, "wait: from 100ms to 20s")
	fault(c.Extract < c.Wait || c.Extract > 10*time.Minute, "extract: at least wait, at most 10m")
	fault(c.Extractors < 1 || c.Extractors > 64, "extractors: from 1 to 64")
	fault(c.MaxChunks < 1 || c.MaxChunks > 200_000, "max_chunks: from 1 to 200000")
	fault(c.ChunkTokens < 32 || c.ChunkTokens > 254, "chunk_tokens: from 32 to 254, what the model sees")
	fault(c.IndexMemoryMB < 1, "index_memory_mb: at least 1")
	fault(c.IndexDiskMB < 0, "index_disk_mb: not below 0")
	fault(c.SearchCacheMB < 0, "search_cache_mb: not below 0")
	fault(c.IndexQuiet < time.Second || c.IndexQuiet > time.Hour, "index_quiet: from 1s to 1h")
	fault(c.Jobs < 1 || c.Jobs > 64, "jobs: from 1 to 64")
	fault(c.ModelWorkers < 0, "model_workers: not below 0")
	fault(!(c.Alpha > 0 && c.Alpha <= 1), "alpha: above 0, at most 1")
	fault(c.Fusion != "convex" && c.Fusion != "rrf", "fusion: convex or rrf")
	fault(c.Housekeeping < time.Second, "housekeeping: at least 1s")
	fault(c.Orphans < time.Hour, "orphans: at least 1h")
	fault(c.Removals < time.Minute, "removals: at least 1m")
	return errors.Join(append(faults, c.Rerank.validate(), c.Answer.validate())...)
}
