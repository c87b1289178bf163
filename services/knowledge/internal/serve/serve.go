package serve

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/commandcenter/commandcenter/pkg/bus"
	"github.com/commandcenter/commandcenter/pkg/ireval/trial"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/answer"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/document"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/evaluation"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/index/fusion"
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
	// Defaults are how it goes when neither a question nor its project says anything.
	Defaults() (index.Mode, fusion.Method, float64)
}

// Answerer answers questions in words.
type Answerer interface {
	Answer(ctx context.Context, p tenant.Project, q answer.Question, l answer.Listener) (answer.Answer, error)
}

// Models tells of embedding models.
type Models interface {
	// Loaded is the name of vectors ("": those of the instance's model) and their
	// length; "" and 0 while their model is not there.
	Loaded(vectors string) (name string, dim int)
	// Choices are the models that a project may choose, by the names of settings:
	// that of the instance, and others.
	Choices() (first string, others []string)
}

// Choosing keeps what a project has chosen; "" follows the instance.
type Choosing interface {
	Chosen(ctx context.Context, p tenant.Project) (name string, err error)
	Choose(ctx context.Context, p tenant.Project, name string) error
}

// Setting keeps how the searches of a project go.
type Setting interface {
	Settings(ctx context.Context, p tenant.Project) (index.Settings, error)
	Set(ctx context.Context, p tenant.Project, change func(*index.Settings)) (index.Settings, error)
}

// Backends keeps where the vectors of a project are searched.
type Backends interface {
	// Backends are where they can be, where they are to be, and where they are.
	Backends(ctx context.Context, p tenant.Project) (can []index.Backend, wanted, now index.Backend, err error)
	ChooseBackend(ctx context.Context, p tenant.Project, b index.Backend) error
}

// Judging keeps sets of judged questions.
type Judging interface {
	Judge(ctx context.Context, p tenant.Project, name, principal string, questions []trial.Question, add bool) (evaluation.Set, error)
	Sets(ctx context.Context, p tenant.Project) ([]evaluation.Set, error)
	Judged(ctx context.Context, p tenant.Project, id int64, skip, limit int) (evaluation.Set, []trial.Question, error)
	Unjudge(ctx context.Context, p tenant.Project, id int64) (evaluation.Set, error)
}

// Evaluating keeps evaluations.
type Evaluating interface {
	Evaluate(ctx context.Context, e evaluation.Evaluation) (evaluation.Evaluation, error)
	Evaluation(ctx context.Context, p tenant.Project, id int64) (evaluation.Evaluation, error)
	Evaluations(ctx context.Context, p tenant.Project, set int64, skip, limit int) ([]evaluation.Evaluation, int, error)
	Unevaluate(ctx context.Context, p tenant.Project, id int64) error
	EvaluationAnswers(ctx context.Context, p tenant.Project, id int64, row int) ([]evaluation.Answered, error)
}

// State tells what there is as facts, see [bus.OnReplay].
type State interface {
	Replay(ctx context.Context, p tenant.Project, since time.Time, tell func(fact proto.Message, at time.Time) error) error
}

// Handlers answer the operations. All fields are needed.
type Handlers struct {
	Intake  Intake
	Library Library
	Census  Census
	Search  Searcher
	Answers Answerer
	Models  Models
	Choice  Choosing
	Setting Setting
	Backend Backends
	Judging Judging
	Trials  Evaluating
	State   State
}

// Operations are the names of what [Handlers.Register] registers, for the
// service's module.
func Operations() []string {
	return []string{
		"queryKnowledgeBase", "answerQuestion", "addDocument", "addTextDocument", "getDocument", "listDocuments", "deleteDocument",
		"getKnowledgeStatistics", "listCollections", "listCategories", "getKnowledgeSettings", "setKnowledgeSettings",
		"listJudgements", "importJudgements", "getJudgements", "deleteJudgements", "listEvaluations", "startEvaluation", "getEvaluation", "deleteEvaluation",
		"listEvaluationQueries", "getEvaluationRun", "plotEvaluation", "compareEvaluations", "applyEvaluation",
		"listKnowledgeTemplates", "applyKnowledgeTemplate",
	}
}

// Register registers every operation of the service with s.
func (h *Handlers) Register(s *bus.Server) {
	bus.Request(s, "queryKnowledgeBase", h.query)
	bus.Stream(s, "answerQuestion", h.answer)
	bus.Command(s, "addDocument", h.add)
	bus.Command(s, "addTextDocument", h.addText)
	bus.Request(s, "getDocument", h.get)
	bus.Request(s, "listDocuments", h.list)
	bus.Command(s, "deleteDocument", h.remove)
	bus.Request(s, "getKnowledgeStatistics", h.statistics)
	bus.Request(s, "listCollections", h.collections)
	bus.Request(s, "listCategories", h.categories)
	bus.Request(s, "getKnowledgeSettings", h.settings)
	bus.Command(s, "setKnowledgeSettings", h.setSettings)
	bus.Request(s, "listJudgements", h.sets)
	bus.Command(s, "importJudgements", h.judge)
	bus.Request(s, "getJudgements", h.judged)
	bus.Command(s, "deleteJudgements", h.unjudge)
	bus.Request(s, "listEvaluations", h.evaluations)
	bus.Command(s, "startEvaluation", h.evaluate)
	bus.Request(s, "getEvaluation", h.evaluation)
	bus.Command(s, "deleteEvaluation", h.unevaluate)
	bus.Request(s, "listEvaluationQueries", h.evaluationQueries)
	bus.Request(s, "getEvaluationRun", h.evaluationRun)
	bus.Request(s, "plotEvaluation", h.plot)
	bus.Request(s, "compareEvaluations", h.compare)
	bus.Command(s, "applyEvaluation", h.apply)
	bus.Request(s, "listKnowledgeTemplates", h.templates)
	bus.Command(s, "applyKnowledgeTemplate", h.applyTemplate)
	bus.Internal(s, "countDocuments", h.count)
	bus.OnReplay(s, func(ctx context.Context, q bus.ReplayQuery, tell bus.Telling) error {
		return h.State.Replay(ctx, q.Project, q.Since, tell)
	})
	bus.Internal(s, "searchProject", h.searchProject)
}
