package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/terms"
)

func (h *Handlers) settings(ctx context.Context, _ struct{}) (KnowledgeSettings, error) {
	p := tenant.From(ctx).Project
	chosen, err := h.Choice.Chosen(ctx, p)
	if err != nil {
		return KnowledgeSettings{}, err
	}
	s, err := h.Setting.Settings(ctx, p)
	if err != nil {
		return KnowledgeSettings{}, err
	}
	return h.settingsOf(ctx, p, chosen, s)
}

// settingsOf adds where vectors are searched.
func (h *Handlers) settingsOf(ctx context.Context, p tenant.Project, chosen string, s index.Settings) (KnowledgeSettings, error) {
	out := h.settingsWith(chosen, s)
	can, to, now, err := h.Backend.Backends(ctx, p)
	out.Backend, out.Effective.Backend, out.Backends = KnowledgeSettingsBackend(to), string(now), make([]string, len(can))
	for i, b := range can {
		out.Backends[i] = string(b)
	}
	return out, err
}

func (h *Handlers) settingsWith(chosen string, s index.Settings) KnowledgeSettings {
	first, others := h.Models.Choices()
	out := KnowledgeSettings{
		EmbeddingModel: orNil(chosen), DefaultModel: first, Models: append([]string{first}, others...),
		Mode: orNil(KnowledgeSettingsMode(s.Mode)), Fusion: orNil(KnowledgeSettingsFusion(s.Method)), KnownLanguages: codes(terms.Languages()),
	}
	if s.Weighted {
		out.Alpha = &s.Alpha
	}
	if s.Languages != "" {
		list := strings.Split(s.Languages, ",")
		out.Languages = &list
	}
	mode, method, alpha := h.Search.Defaults()
	out.Effective = KnowledgeSettingsInForce{Mode: string(mode), Alpha: alpha, Fusion: string(method), Languages: codes(s.Spoken())}
	if s.Mode != "" {
		out.Effective.Mode = string(s.Mode)
	}
	if s.Method != "" {
		out.Effective.Fusion = string(s.Method)
	}
	if s.Weighted {
		out.Effective.Alpha = s.Alpha
	}
	return out
}

// stated is a member of an object that may be left out, or null.
type stated[T any] struct {
	There bool
	Value *T // nil: null
}

// UnmarshalJSON is called for members that are there.
func (s *stated[T]) UnmarshalJSON(b []byte) error {
	s.There = true
	return json.Unmarshal(b, &s.Value)
}

func given[T any](v *T) stated[T] { return stated[T]{There: true, Value: v} }

// wanted is what is to become of settings. Those that are left out stay.
type wanted struct {
	EmbeddingModel stated[string]   `json:"embedding_model"`
	Mode           stated[string]   `json:"mode"`
	Alpha          stated[float64]  `json:"alpha"`
	Fusion         stated[string]   `json:"fusion"`
	Languages      stated[[]string] `json:"languages"`
	Backend        stated[string]   `json:"backend"`
}

func (w wanted) check() error {
	if v := value(w.Mode.Value); !slices.Contains([]index.Mode{"", index.Hybrid, index.Vector, index.Keyword}, index.Mode(v)) {
		return errs.InvalidField("enum", "mode must be hybrid, vector or keyword, or null for that of the instance", "body", "mode")
	}
	if v := value(w.Alpha.Value); !(v >= 0 && v <= 1) {
		return errs.InvalidField("out_of_range", "alpha must be from 0 to 1", "body", "alpha")
	}
	if v := value(w.Fusion.Value); !slices.Contains([]fusion.Method{"", fusion.Convex, fusion.RRF}, fusion.Method(v)) {
		return errs.InvalidField("enum", "fusion must be convex or rrf, or null for that of the instance", "body", "fusion")
	}
	list := value(w.Languages.Value)
	if w.Languages.Value != nil && len(list) == 0 {
		return errs.InvalidField("too_short", "languages must name one at least, or be null", "body", "languages")
	}
	for i, code := range list {
		if _, known := terms.ParseLanguage(code); !known || slices.Index(list, code) < i {
			return errs.InvalidField("enum", fmt.Sprintf("languages must be different ones of %s", strings.Join(codes(terms.Languages()), ", ")), "body", "languages")
		}
	}
	return nil
}

// searches reports whether anything is said of searches.
func (w wanted) searches() bool {
	return w.Mode.There || w.Alpha.There || w.Fusion.There || w.Languages.There
}

func (w wanted) apply(s *index.Settings) {
	if w.Mode.There {
		s.Mode = index.Mode(value(w.Mode.Value))
	}
	if w.Alpha.There {
		s.Alpha, s.Weighted = value(w.Alpha.Value), w.Alpha.Value != nil
	}
	if w.Fusion.There {
		s.Method = fusion.Method(value(w.Fusion.Value))
	}
	if w.Languages.There {
		s.Languages = strings.Join(value(w.Languages.Value), ",")
	}
}

type setKnowledgeSettings struct {
	Body wanted `json:"body"`
}

// setSettings keeps what is set; jobs look after the vectors and the words.
func (h *Handlers) setSettings(ctx context.Context, r setKnowledgeSettings) (KnowledgeSettings, error) {
	p, model := tenant.From(ctx).Project, r.Body.EmbeddingModel
	name := value(model.Value)
	if first, others := h.Models.Choices(); name != "" && name != first && !slices.Contains(others, name) {
		return KnowledgeSettings{}, errs.InvalidField("enum", fmt.Sprintf("the embedding model must be one of %s, or null for that of the instance",
			strings.Join(append([]string{first}, others...), ", ")), "body", "embedding_model")
	}
	if err := r.Body.check(); err != nil {
		return KnowledgeSettings{}, err
	}
	if err := h.move(ctx, p, r.Body.Backend); err != nil {
		return KnowledgeSettings{}, err
	}
	if model.There {
		if err := h.Choice.Choose(ctx, p, name); err != nil {
			return KnowledgeSettings{}, err
		}
	}
	chosen, err := h.Choice.Chosen(ctx, p)
	if err != nil {
		return KnowledgeSettings{}, err
	}
	s, err := h.Setting.Settings(ctx, p)
	if err == nil && r.Body.searches() {
		before := s
		s, err = h.Setting.Set(ctx, p, r.Body.apply)
		recordChange(ctx, before, s)
	}
	if err != nil {
		return KnowledgeSettings{}, err
	}
	return h.settingsOf(ctx, p, chosen, s)
}

// move has vectors be searched elsewhere, if anything is said of that.
func (h *Handlers) move(ctx context.Context, p tenant.Project, said stated[string]) error {
	if !said.There {
		return nil
	}
	to := index.Memory
	if said.Value != nil {
		to = index.Backend(*said.Value)
	}
	can, before, _, err := h.Backend.Backends(ctx, p)
	if err != nil {
		return err
	}
	if !slices.Contains(can, to) {
		msg := "backend must be memory here: the database has no pgvector 0.8 or later; run `commandcenter migrate` once it has"
		if len(can) > 1 {
			msg = "backend must be memory, pgvector or pgvector-half"
		}
		return errs.InvalidField("enum", msg, "body", "backend")
	}
	bus.Changed(ctx, "backend", string(before), string(to))
	return h.Backend.ChooseBackend(ctx, p, to)
}

// recordChange has the audit log say what was set to what.
func recordChange(ctx context.Context, before, after index.Settings) {
	alpha := func(s index.Settings) string {
		if !s.Weighted {
			return ""
		}
		return strconv.FormatFloat(s.Alpha, 'f', -1, 64)
	}
	bus.Changed(ctx, "mode", string(before.Mode), string(after.Mode))
	bus.Changed(ctx, "alpha", alpha(before), alpha(after))
	bus.Changed(ctx, "fusion", string(before.Method), string(after.Method))
	bus.Changed(ctx, "languages", before.Languages, after.Languages)
}
