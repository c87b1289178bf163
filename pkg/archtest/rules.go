package archtest

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
)

// Rule says what packages of a module may not import, and why. Patterns are
// paths: "*" is one whole element, "..." at the end is the folder and all below
// it. From and Except are relative to the module's root; Deny and Allow are
// import paths, where a leading "./" stands for the module's own path.
type Rule struct {
	Name    string   // a short sentence: "nouns know no database"
	From    []string // the packages that the rule is about
	Except  []string // packages of From that it is not about
	Deny    []string // what they may not import
	Allow   []string // imports of Deny that they may
	Tests   bool     // the rule holds for _test.go files too
	Because string   // the reason, printed with every violation
}

// Violation is one place where a rule is broken.
type Violation struct {
	Where string // file relative to the module's root, with the line where there is one
	What  string
}

// String is "where: what".
func (v Violation) String() string { return v.Where + ": " + v.What }

// Check reports each violation as an error of t.
func Check(t testing.TB, violations ...[]Violation) {
	t.Helper()
	for _, group := range violations {
		for _, v := range group {
			t.Error(v)
		}
	}
}

// Imports returns the import clauses of m that break one of the rules.
func (m *Module) Imports(rules ...Rule) []Violation {
	var out []Violation
	for _, r := range rules {
		for _, p := range m.Packages {
			if !matchAny(r.From, p.Dir) || matchAny(r.Except, p.Dir) {
				continue
			}
			for _, f := range p.Files {
				if f.Test() && !r.Tests {
					continue
				}
				for _, i := range f.Imports {
					if m.importMatches(r.Deny, i.Path) && !m.importMatches(r.Allow, i.Path) {
						out = append(out, Violation{
							fmt.Sprintf("%s:%d", path.Join(p.Dir, f.Name), i.Line),
							fmt.Sprintf("imports %s; %s, because %s", i.Path, r.Name, r.Because),
						})
					}
				}
			}
		}
	}
	return out
}

func (m *Module) importMatches(patterns []string, imported string) bool {
	for _, p := range patterns {
		if own, ok := strings.CutPrefix(p, "./"); ok {
			p = m.Path + "/" + own
		}
		if Match(p, imported) {
			return true
		}
	}
	return false
}

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return Match(p, name) })
}

// Match reports whether the slash-separated name fits the pattern: "*" fits one
// element, a last "..." fits any number of elements, none included.
func Match(pattern, name string) bool {
	want, have := strings.Split(pattern, "/"), strings.Split(name, "/")
	if name == "." {
		have = nil
		if pattern == "." {
			return true
		}
	}
	for i, w := range want {
		if w == "..." && i == len(want)-1 {
			return true
		}
		if i >= len(have) || w != "*" && w != have[i] {
			return false
		}
	}
	return len(want) == len(have)
}

// vague are names of packages that say nothing about what is inside.
var vague = []string{
	"util", "utils", "common", "helper", "helpers", "type", "types", "model", "models", "interface", "interfaces",
	"misc", "shared", "base", "lib", "manager", "managers",
}

// Names returns the packages whose name says nothing: util, common, helpers,
// types, models and their like.
func (m *Module) Names() []Violation {
	var out []Violation
	for _, p := range m.Packages {
		for _, f := range p.Files {
			if name := strings.TrimSuffix(f.Package, "_test"); slices.Contains(vague, name) || slices.Contains(vague, path.Base(p.Dir)) {
				out = append(out, Violation{path.Join(p.Dir, f.Name), "package " + name + ": a name says what is inside"})
				break
			}
		}
	}
	return out
}

// Testing returns the imports of test machinery in files that users run:
// package testing or one below it, outside _test.go and outside packages whose
// name ends in "test".
func (m *Module) Testing() []Violation {
	var out []Violation
	for _, p := range m.Packages {
		if strings.HasSuffix(path.Base(p.Dir), "test") {
			continue
		}
		out = append(out, m.only(p).Imports(Rule{
			Name: "test machinery stays in tests", From: []string{p.Dir}, Deny: []string{"testing/...", "net/http/httptest"},
			Because: "it registers flags and code in the users' binary",
		})...)
		for _, f := range p.Files {
			for _, i := range f.Imports {
				if !f.Test() && strings.HasPrefix(i.Path, m.Path+"/") && strings.HasSuffix(path.Base(i.Path), "test") {
					out = append(out, Violation{fmt.Sprintf("%s:%d", path.Join(p.Dir, f.Name), i.Line), "imports " + i.Path + ", which is for tests"})
				}
			}
		}
	}
	return out
}

func (m *Module) only(p Package) *Module {
	return &Module{Path: m.Path, Root: m.Root, Packages: []Package{p}}
}

// Docs returns the packages without a doc.go that carries the package comment.
// Generated packages and packages of tests alone need none.
func (m *Module) Docs() []Violation {
	var out []Violation
	for _, p := range m.Packages {
		written := slices.ContainsFunc(p.Files, func(f File) bool { return !f.Test() && !f.Generated })
		if written && !slices.ContainsFunc(p.Files, func(f File) bool { return f.Name == "doc.go" && f.Doc }) {
			out = append(out, Violation{p.Dir, "no doc.go with the promise of the package"})
		}
	}
	return out
}

// Long returns the files that somebody wrote with more than limit lines; tests,
// which tell many small stories, may have half as many again.
func (m *Module) Long(limit int) []Violation {
	var out []Violation
	for _, p := range m.Packages {
		for _, f := range p.Files {
			most := limit
			if f.Test() {
				most += limit / 2
			}
			if f.Lines > most && !f.Generated {
				out = append(out, Violation{path.Join(p.Dir, f.Name), fmt.Sprintf("%d lines, more than %d: it tells more than one story", f.Lines, most)})
			}
		}
	}
	return out
}

// Sleeps returns the files that pause by time.Sleep, except tests that run in a
// bubble of testing/synctest, where no time passes, and lines of tests that say
// why.
func (m *Module) Sleeps() []Violation {
	var out []Violation
	for _, p := range m.Packages {
		for _, f := range p.Files {
			bubble := f.Test() && slices.ContainsFunc(f.Imports, func(i Import) bool { return i.Path == "testing/synctest" })
			if f.Sleeps > 0 && !bubble {
				out = append(out, Violation{
					fmt.Sprintf("%s:%d", path.Join(p.Dir, f.Name), f.Sleeps),
					"sleeps: wait for a signal with a deadline, or for a timer beside ctx.Done()",
				})
			}
		}
	}
	return out
}
