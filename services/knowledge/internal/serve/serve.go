package serve

import (
	"context"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/search"
)

// Intake accepts documents.
type Intake interface {
	Accept(ctx context.Context, s document.Submission) (document.Document, error)
}

// Library reads and removes documents.
type Library interface {
	Get(ctx context.Context, p tenant.Project, id int64) (document.Document, error)
	List(ctx context.Context, p tenant.Project, collection string, skip, limit int) (document.Page, error)
	Delete(ctx context.Context, p tenant.Project, id int64, may func(document.Document) error) error
}

// Census counts what there is, in a collection ("": all) and of a repository
// (0: all).
type Census interface {
	Collections(ctx context.Context, p tenant.Project) ([]string, error)
	Categories(ctx context.Context, p tenant.Project, collection string, repository int64) ([]string, error)
	Statistics(ctx context.Context, p tenant.Project, collection string, repository int64) (search.Statistics, error)
	Count(ctx context.Context, p tenant.Project) (documents, chunks int, err error)
}

// Searcher answers questions.
type Searcher interface {
	Search(ctx context.Context, p tenant.Project, q search.Query) (search.Answer, error)
}

// Model says which model is at work; "" and 0 while there is none.
type Model interface {
	Model() (name string, dim int)
}

// Handlers answer the operations. All fields are needed.
type Handlers struct {
	Intake  Intake
	Library Library
	Census  Census
	Search  Searcher
	Model   Model
}

// Operations are the names of what [Handlers.Register] registers, for the
// service's module.
func Operations() []string {
	return []string{
		"queryKnowledgeBase", "addDocument", "addTextDocument", "getDocument", "listDocuments", "deleteDocument",
		"getKnowledgeStatistics", "listCollections", "listCategories",
	}
}

// Register registers every operation of the service with s.
func (h *Handlers) Register(s *bus.Server) {
	bus.Request(s, "queryKnowledgeBase", h.query)
	bus.Command(s, "addDocument", h.add)
	bus.Command(s, "addTextDocument", h.addText)
	bus.Request(s, "getDocument", h.get)
	bus.Request(s, "listDocuments", h.list)
	bus.Command(s, "deleteDocument", h.remove)
	bus.Request(s, "getKnowledgeStatistics", h.statistics)
	bus.Request(s, "listCollections", h.collections)
	bus.Request(s, "listCategories", h.categories)
	bus.Internal(s, "countDocuments", h.count)
	bus.Internal(s, "searchProject", h.searchProject)
}
