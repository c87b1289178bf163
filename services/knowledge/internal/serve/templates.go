package serve

import (
	"context"

	"github.com/google/uuid"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/template"
)

func (h *Handlers) templates(context.Context, struct{}) ([]KnowledgeTemplate, error) {
	all, err := template.All()
	if err != nil {
		return nil, err
	}
	first, others := h.Models.Choices()
	out := make([]KnowledgeTemplate, len(all))
	for i, t := range all {
		_, offered := t.Choose(first, others)
		out[i] = KnowledgeTemplate{Name: t.Name, Title: t.Title, Description: t.Description, EmbeddingModel: t.Model, ModelOffered: offered}
		for _, d := range t.Documents {
			out[i].Documents = append(out[i].Documents, d.Title)
		}
	}
	return out, nil
}

type applyKnowledgeTemplate struct {
	Template string `json:"template"`
}

// applyTemplate chooses the model of a template, and adds its samples as anybody adds
// documents.
func (h *Handlers) applyTemplate(ctx context.Context, r applyKnowledgeTemplate) (KnowledgeTemplateApplied, error) {
	all, err := template.All()
	if err != nil {
		return KnowledgeTemplateApplied{}, err
	}
	for _, t := range all {
		if t.Name == r.Template {
			return h.begin(ctx, t)
		}
	}
	return KnowledgeTemplateApplied{}, errs.InvalidField("enum", "there is no such template", "path", "template")
}

func (h *Handlers) begin(ctx context.Context, t template.Template) (KnowledgeTemplateApplied, error) {
	out := KnowledgeTemplateApplied{Name: t.Name, EmbeddingModel: t.Model}
	var model string
	if model, out.ModelChosen = t.Choose(h.Models.Choices()); out.ModelChosen {
		if err := h.Choice.Choose(ctx, tenant.From(ctx).Project, model); err != nil {
			return out, err
		}
	}
	for _, d := range t.Documents {
		s := submission(ctx)
		s.Operation = uuid.Nil // it waits for none of them
		s.Source, s.Title, s.Category, s.ContentType = d.Source, d.Title, template.Category, "text/markdown"
		s.Blob = document.Blob{Body: []byte(d.Content), Size: int64(len(d.Content))}
		got, err := h.accept(ctx, s)
		if err != nil {
			return out, err
		}
		out.Documents = append(out.Documents, got.KnowledgeUpload)
	}
	return out, nil
}
