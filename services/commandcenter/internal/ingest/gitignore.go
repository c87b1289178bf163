package ingest

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// rule is one line of a .gitignore.
type rule struct {
	re      *regexp.Regexp // against the path below the file's folder, with slashes
	negate  bool
	dirOnly bool
}

// ignores is the rules of one .gitignore, for paths below base.
type ignores struct {
	base  string // slash path from the root of the walk; "" for the root; may begin with ../
	rules []rule
}

// parseIgnore reads the lines of a .gitignore, as gitignore(5) describes them.
func parseIgnore(base, text string) ignores {
	ig := ignores{base: base}
	sc := bufio.NewScanner(strings.NewReader(text))
	for sc.Scan() {
		line := strings.TrimSuffix(sc.Text(), "\r")
		if t := strings.TrimRight(line, " "); !strings.HasSuffix(t, `\`) {
			line = t
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var r rule
		if strings.HasPrefix(line, "!") {
			r.negate, line = true, line[1:]
		}
		line = strings.TrimPrefix(line, `\`) // \# and \!
		if strings.HasSuffix(line, "/") {
			r.dirOnly, line = true, strings.TrimRight(line, "/")
		}
		anchored := strings.Contains(line, "/")
		line = strings.TrimPrefix(line, "/")
		if line == "" {
			continue
		}
		re, err := regexp.Compile(pattern(line, anchored))
		if err != nil {
			continue // git ignores a pattern that it cannot read
		}
		r.re = re
		ig.rules = append(ig.rules, r)
	}
	return ig
}

// pattern translates a glob: * and ? stay within a path element, ** does not.
func pattern(glob string, anchored bool) string {
	var b strings.Builder
	b.WriteString("^")
	if !anchored {
		b.WriteString("(?:.*/)?")
	}
	for i := 0; i < len(glob); i++ {
		rest := glob[i:]
		switch {
		case strings.HasPrefix(rest, "**/") && (i == 0 || glob[i-1] == '/'):
			b.WriteString("(?:.*/)?")
			i += 2
		case rest == "**" && (i == 0 || glob[i-1] == '/'):
			b.WriteString(".+")
			i++
		case rest[0] == '*':
			b.WriteString("[^/]*")
		case rest[0] == '?':
			b.WriteString("[^/]")
		case rest[0] == '[':
			end := strings.IndexByte(rest[1:], ']')
			if end < 0 {
				b.WriteString(`\[`)
				continue
			}
			class := rest[1 : end+1]
			if strings.HasPrefix(class, "!") {
				class = "^" + class[1:]
			}
			b.WriteString("[" + class + "]")
			i += end + 1
		case rest[0] == '\\' && len(rest) > 1:
			b.WriteString(regexp.QuoteMeta(rest[1:2]))
			i++
		default:
			b.WriteString(regexp.QuoteMeta(rest[:1]))
		}
	}
	b.WriteString("$")
	return b.String()
}

// match reports what the rules say of a path below the root of the walk:
// decided is false when none of them speaks of it. The last one that does wins.
func (ig ignores) match(path string, dir bool) (ignored, decided bool) {
	rel, ok := below(ig.base, path)
	if !ok {
		return false, false
	}
	for _, r := range ig.rules {
		if (!r.dirOnly || dir) && r.re.MatchString(rel) {
			ignored, decided = !r.negate, true
		}
	}
	return ignored, decided
}

func below(base, path string) (string, bool) {
	switch {
	case base == "":
		return path, true
	case strings.HasPrefix(base, "/"): // the walk's root, as seen from a folder above
		return strings.TrimPrefix(base[1:]+"/"+path, "/"), true
	}
	return strings.CutPrefix(path, base+"/")
}

// above reads the .gitignore files of the folders above root, up to the one
// that holds .git. Their base is "/" and the way down to root.
func above(root string) ([]ignores, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	var out []ignores
	for dir, way := abs, ""; ; {
		if dir != abs {
			text, err := readIgnore(dir)
			if err != nil {
				return nil, err
			}
			if text != "" {
				out = append([]ignores{parseIgnore("/"+way, text)}, out...)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return out, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil, nil // no repository: files above mean nothing
		}
		way = strings.TrimSuffix(filepath.Base(dir)+"/"+way, "/")
		dir = parent
	}
}

func readIgnore(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, ".gitignore"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(data), err
}
