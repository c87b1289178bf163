// Command summary reads the events of `go test -json` and prints what a person
// wants: a line per package, the output of what failed, and last the counts,
// which it also writes to .tools/tests. It exits 1 when anything failed to build
// or to pass, or when nothing ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

type summary struct {
	out                     io.Writer
	output                  map[string][]string // by package and test, kept until it is known how it ended
	passed, failed, skipped int
	broken                  bool // a package failed to build, or failed outside its tests
	slow                    []string
}

func main() {
	s := &summary{out: os.Stdout, output: map[string][]string{}}
	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
		os.Exit(1)
	}
	if !s.end() {
		os.Exit(1)
	}
}

func (s *summary) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				fmt.Fprintf(s.out, "%s", line) // not an event: the go command itself speaks
			} else {
				s.add(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
	}
}

func (s *summary) add(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "build-fail":
		s.broken = true
	case "output":
		s.output[key] = append(s.output[key], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			s.endPackage(e)
		} else {
			s.endTest(e)
		}
		delete(s.output, key)
	}
}

func (s *summary) endTest(e event) {
	switch e.Action {
	case "pass":
		s.passed++
	case "skip":
		s.skipped++
		fmt.Fprintf(s.out, "skip %s %s: %s\n", e.Package, e.Test, oneLine(s.output[e.Package+" "+e.Test]))
	case "fail":
		s.failed++
		fmt.Fprintf(s.out, "%s", strings.Join(s.output[e.Package+" "+e.Test], ""))
	}
	if e.Elapsed > 10 {
		s.slow = append(s.slow, fmt.Sprintf("%6.1f s  %s %s", e.Elapsed, e.Package, e.Test))
	}
}

// endPackage prints "ok pkg 1.2s coverage: ..." or "FAIL ...": the last lines of
// the package's own output, all of it when it failed.
func (s *summary) endPackage(e event) {
	lines := s.output[e.Package+" "]
	if e.Action == "fail" {
		s.broken = true
		fmt.Fprintf(s.out, "%sFAIL\t%s\t%.2fs\n", strings.Join(lines, ""), e.Package, e.Elapsed)
		return
	}
	for _, line := range lines {
		if strings.HasPrefix(line, "ok") || strings.HasPrefix(line, "panic") {
			fmt.Fprint(s.out, line)
		}
	}
}

func (s *summary) end() bool {
	if len(s.slow) > 0 {
		slices.Sort(s.slow)
		slices.Reverse(s.slow)
		fmt.Fprintf(s.out, "above 10 s:\n  %s\n", strings.Join(s.slow, "\n  "))
	}
	ok := s.failed == 0 && !s.broken && s.passed > 0
	failed := s.failed
	if s.broken && failed == 0 {
		failed = 1 // a package that does not build is no pass
	}
	counts := fmt.Sprintf("%d passed, %d failed, %d skipped\n", s.passed, failed, s.skipped)
	fmt.Fprint(s.out, counts)
	if err := os.MkdirAll(".tools", 0o755); err == nil {
		err = os.WriteFile(filepath.Join(".tools", "tests"), []byte(counts), 0o644)
		if err != nil {
			fmt.Fprintln(os.Stderr, "summary:", err)
			return false
		}
	}
	return ok
}

func oneLine(lines []string) string {
	return strings.Join(strings.Fields(strings.Join(lines, " ")), " ")
}
