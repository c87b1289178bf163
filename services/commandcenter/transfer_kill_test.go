package main_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/commandcenter/commandcenter/pkg/archive"
)

// manyNotes is an archive of a project with so many documents.
func manyNotes(t *testing.T, n int) []byte {
	t.Helper()
	return forged(t, func(w *archive.Writer) error {
		var rows strings.Builder
		var errs []error
		for i := range n {
			text := fmt.Sprintf("# Note %d\n\nThe word of this note is zq%dq.\n", i, i)
			s := sha256.Sum256([]byte(text))
			sum := hex.EncodeToString(s[:])
			errs = append(errs, w.Object("knowledge", sum, int64(len(text)), strings.NewReader(text)))
			fmt.Fprintf(&rows, `{"id":%d,"collection":"c","source":"n%d.md","title":"n%d","titled":true,"category":"x","content_type":"text/markdown","created_at":"2026-01-02T03:04:05Z",`+
				`"sha256":%q,"created_by":1,"principal":"user:1","job_id":"b2c1b1f6-42ab-5c08-8a82-%012d","state":"indexed"}`+"\n", i+1, i, i, sum, i)
		}
		return errors.Join(errors.Join(errs...), w.Rows("knowledge", "documents", []byte(rows.String())))
	})
}

// halves says what is kept under the number of an import that goes on: 0 when
// there is none.
func halves(t *testing.T, db *sqlx.DB) (project int64, kept int) {
	t.Helper()
	const q = `
		SELECT i.project_id, (SELECT count(*) FROM knowledge.blobs b WHERE b.project_id = i.project_id)
		                   + (SELECT count(*) FROM knowledge.documents d WHERE d.project_id = i.project_id)
		FROM   auth.project_imports i ORDER BY i.began_at DESC LIMIT 1`
	rows, err := db.QueryContext(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if rows.Next() {
		if err := rows.Scan(&project, &kept); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return project, kept
}

// TestAnImportThatIsKilledEndsWholeOrIsPurged kills the product when an import has
// taken a part of its archive in: nobody ever sees a part of the project, the
// import ends with all of it, and what the try before has left is purged, with
// the proof.
func TestAnImportThatIsKilledEndsWholeOrIsPurged(t *testing.T) {
	t.Parallel()
	const notes = 150
	file := manyNotes(t, notes)
	dir := dataDir(t)
	p := apart(t, dir, "--no-sample")
	token := p.owner().token
	for round, least := range []int{0, 1, notes / 2} {
		dsn, err := os.ReadFile(filepath.Join(dir, "keys", "postgres.dsn"))
		if err != nil {
			t.Fatal(err)
		}
		db := open(t, string(dsn))
		c := p.caller(token)
		name := fmt.Sprintf("Copy %d", round)
		contentType, body := form(t, "a.tar.gz", string(file), "name", name)
		status, h, answer, err := c.do("POST", "/api/v1/projects/import", contentType, body, "Prefer", "respond-async")
		if err != nil || status != 202 {
			t.Fatalf("import: %d %v %s", status, err, answer)
		}
		half, kept := halves(t, db)
		for end := time.Now().Add(patience); half == 0 || kept < least; half, kept = halves(t, db) {
			if time.Now().After(end) {
				t.Fatalf("no import of %d is in the middle: %d\n%s", least, kept, p.log)
			}
		}
		p.kill()
		p = apart(t, dir, "--no-sample")
		c = p.caller(token)
		made := c.wholeOrNothing(h.Get("Location"), name, notes)
		if made == half {
			t.Errorf("round %d: the number of the try that was killed, %d, is the project's", round, half)
		}
		c.proved(half)
		if dsn, err = os.ReadFile(filepath.Join(dir, "keys", "postgres.dsn")); err != nil {
			t.Fatal(err)
		}
		var left int
		const q = `SELECT (SELECT count(*) FROM knowledge.blobs WHERE project_id = $1) + (SELECT count(*) FROM knowledge.documents WHERE project_id = $1)`
		if err := open(t, string(dsn)).GetContext(t.Context(), &left, q, half); err != nil || left != 0 {
			t.Errorf("round %d: %d rows are left under the number %d: %v", round, left, half, err)
		}
		t.Logf("round %d: killed with %d of %d parts under %d, made %d", round, kept, 2*notes, half, made)
	}
}

// wholeOrNothing follows an import to its end, looks at the list of projects
// meanwhile, and returns the project.
func (c *caller) wholeOrNothing(operation, name string, documents int) (made int64) {
	c.t.Helper()
	for end := time.Now().Add(2 * patience); ; {
		var projects []struct {
			ID   int64  `json:"id"`
			Name string `json:"name"`
		}
		c.json("GET", "/api/v1/projects/?limit=100", nil, 200, &projects)
		for _, p := range projects {
			if strings.HasPrefix(p.Name, "import ") {
				c.t.Errorf("the half of an import is a project: %+v", p)
			}
			if p.Name != name {
				continue
			}
			var docs struct {
				Total int `json:"total"`
			}
			if c.json("GET", "/api/v1/knowledge/documents?limit=1", nil, 200, &docs, "X-Project-ID", fmt.Sprint(p.ID)); docs.Total != documents {
				c.t.Errorf("project %d is there with %d of %d documents", p.ID, docs.Total, documents)
			}
		}
		var op struct {
			Status string `json:"status"`
			Code   int    `json:"http_status"`
			Answer struct {
				ID int64 `json:"id"`
			} `json:"answer"`
		}
		c.json("GET", operation+"?wait=1", nil, 200, &op)
		if op.Status != "pending" {
			if op.Code != 201 || op.Answer.ID == 0 {
				c.t.Fatalf("the import ended with %+v", op)
			}
			if made != 0 {
				return made
			}
			made = op.Answer.ID // look once more: the project is there now
		}
		if time.Now().After(end) {
			c.t.Fatalf("the import does not end: %+v", op)
		}
	}
}

// proved waits for the proof that all services have purged a number.
func (c *caller) proved(project int64) {
	c.t.Helper()
	for end := time.Now().Add(patience); ; {
		var proof struct {
			FinishedAt *time.Time `json:"finished_at"`
			Purges     []struct {
				Service string
				Left    int
			}
		}
		c.json("GET", fmt.Sprintf("/api/v1/projects/%d/deletion", project), nil, 200, &proof)
		if proof.FinishedAt != nil {
			for _, x := range proof.Purges {
				if x.Left != 0 {
					c.t.Errorf("of project %d %d rows are left in %s", project, x.Left, x.Service)
				}
			}
			if len(proof.Purges) < 4 {
				c.t.Errorf("%d services have proved that project %d is gone", len(proof.Purges), project)
			}
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("the purge of project %d does not end: %+v", project, proof)
		}
	}
}
