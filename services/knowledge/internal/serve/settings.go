package serve

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

func (h *Handlers) settings(ctx context.Context, _ struct{}) (KnowledgeSettings, error) {
	chosen, err := h.Choice.Chosen(ctx, tenant.From(ctx).Project)
	if err != nil {
		return KnowledgeSettings{}, err
	}
	return h.settingsWith(chosen), nil
}

func (h *Handlers) settingsWith(chosen string) KnowledgeSettings {
	first, others := h.Models.Choices()
	return KnowledgeSettings{EmbeddingModel: orNil(chosen), DefaultModel: first, Models: append([]string{first}, others...)}
}

type setKnowledgeSettings struct {
	Body KnowledgeSettingsUpdate `json:"body"`
}

// setSettings keeps a choice; a job looks after the vectors.
func (h *Handlers) setSettings(ctx context.Context, r setKnowledgeSettings) (KnowledgeSettings, error) {
	name := value(r.Body.EmbeddingModel)
	if first, others := h.Models.Choices(); name != "" && name != first && !slices.Contains(others, name) {
		return KnowledgeSettings{}, errs.InvalidField("enum", fmt.Sprintf("the embedding model must be one of %s, or null for that of the instance",
			strings.Join(append([]string{first}, others...), ", ")), "body", "embedding_model")
	}
	if err := h.Choice.Choose(ctx, tenant.From(ctx).Project, name); err != nil {
		return KnowledgeSettings{}, err
	}
	return h.settingsWith(name), nil
}
