package extract

import (
	"regexp"
	"sync"
)

// language says how declarations of a programming language look. A pattern is
// matched against one line without its indentation; its group "name" is the
// symbol. Containers hold further declarations, the rest does not. Patterns are
// compiled when the language is met: all of them are a megabyte and a half.
type language struct {
	containers func() []*regexp.Regexp
	units      func() []*regexp.Regexp
	comments   []string // line prefixes of comments and attributes, which belong to the declaration below
}

func res(patterns ...string) func() []*regexp.Regexp {
	return sync.OnceValue(func() []*regexp.Regexp {
		out := make([]*regexp.Regexp, len(patterns))
		for i, p := range patterns {
			out[i] = regexp.MustCompile(p)
		}
		return out
	})
}

// none are the patterns that a language has not got.
func none() []*regexp.Regexp { return nil }

const (
	id        = `(?P<name>[A-Za-z_$][\w$]*)`
	jvmMods   = `(?:(?:public|private|protected|internal|static|final|abstract|sealed|open|override|async|virtual|data|partial|readonly|default|synchronized|native|strictfp|inline|suspend|lateinit|implicit|lazy|case|extern|unsafe|new|inner|enum|annotation|companion|tailrec|operator|infix|record)\s+)*`
	jvmMethod = `^` + jvmMods + `(?:<[^>]{1,80}>\s*)?[\w$<>\[\].,?& ]{1,120}\s+` + id + `\s*\([^;]*$`
)

var jvmContainer = `^` + jvmMods + `(?:class|interface|enum|record|struct|object|trait|namespace|@interface)\s+` + id

// languages are told by the names that [Format.Language] uses. What is missing
// here is cut at blank lines.
var languages = aliased(map[string]*language{
	"go": {
		units: res(`^func\s+\((?:\w+\s+)?\*?(?P<recv>\w+)(?:\[[^\]]*\])?\)\s*`+id, `^func\s+`+id, `^type\s+`+id, `^(?:var|const)\s+`+id,
			`^(?P<name>var|const|import|type)\s*\($`),
		comments: []string{"//"},
	},
	"python": {
		containers: res(`^class\s+` + id), units: res(`^(?:async\s+)?def\s+` + id),
		comments: []string{"#", "@"},
	},
	"ruby": {
		containers: res(`^(?:class|module)\s+(?P<name>[A-Z][\w:]*)`), units: res(`^def\s+(?P<name>[\w.?!=]+)`),
		comments: []string{"#"},
	},
	"javascript": {
		containers: res(`^(?:export\s+)?(?:default\s+)?(?:abstract\s+)?class\s+`+id, `^(?:export\s+)?(?:declare\s+)?(?:namespace|module)\s+`+id),
		units: res(`^(?:export\s+)?(?:default\s+)?(?:async\s+)?function\s*\*?\s*`+id, `^(?:export\s+)?(?:declare\s+)?(?:interface|type|enum|const enum)\s+`+id,
			`^(?:export\s+)?(?:const|let|var)\s+`+id+`\s*(?::[^=]{1,120})?=`,
			`^(?:(?:public|private|protected|static|async|readonly|override|get|set)\s+)*(?P<name>#?[A-Za-z_$][\w$]*)\s*\([^;]*\)\s*(?::[^{;]{1,120})?\{`),
		comments: []string{"//", "/*", "*", "@"},
	},
	"java": {
		containers: res(jvmContainer), units: res(jvmMethod, `^`+jvmMods+id+`\s*\([^;]*\{\s*$`),
		comments: []string{"//", "/*", "*", "@", "["},
	},
	"kotlin": {
		containers: res(jvmContainer), units: res(`^`+jvmMods+`fun\s+(?:<[^>]*>\s*)?(?:[\w<>?.]+\.)?`+id, `^`+jvmMods+`(?:val|var|typealias)\s+`+id),
		comments: []string{"//", "/*", "*", "@"},
	},
	"scala": {
		containers: res(jvmContainer), units: res(`^` + jvmMods + `(?:def|val|var|type|given)\s+` + id),
		comments: []string{"//", "/*", "*", "@"},
	},
	"swift": {
		containers: res(`^(?:@\w+\s+)*` + jvmMods + `(?:fileprivate\s+)?(?:class|struct|enum|protocol|extension|actor)\s+` + id),
		units:      res(`^(?:@\w+\s+)*` + jvmMods + `(?:fileprivate\s+|mutating\s+|class\s+)*func\s+` + id),
		comments:   []string{"//", "/*", "*", "@"},
	},
	"rust": {
		containers: res(`^(?:pub(?:\([^)]*\))?\s+)?(?:unsafe\s+)?(?:trait|mod)\s+`+id, `^(?:unsafe\s+)?impl\b(?:<[^>]*>)?\s*(?P<name>[^{]{1,120}?)\s*(?:where\b.*)?\{?\s*$`),
		units: res(`^(?:pub(?:\([^)]*\))?\s+)?(?:default\s+)?(?:const\s+)?(?:async\s+)?(?:unsafe\s+)?(?:extern\s+"[^"]*"\s+)?fn\s+`+id,
			`^(?:pub(?:\([^)]*\))?\s+)?(?:struct|enum|union|type|const|static)\s+(?:mut\s+)?`+id, `^macro_rules!\s+`+id),
		comments: []string{"//", "/*", "*", "#["},
	},
	"c": {
		containers: res(`^(?:typedef\s+)?(?:class|namespace)\s+`+id+`[^;]*$`, `^(?:inline\s+)?namespace\s+(?P<name>[\w:]+)`),
		units: res(`^(?:typedef\s+)?(?:struct|union|enum(?:\s+class)?)\s+`+id+`[^;()]*$`, `^#define\s+`+id,
			`^(?:template\s*<[^>]*>\s*)?(?:[\w:*&<>,~\[\]]+\s+)+[*&]*(?P<name>~?[A-Za-z_][\w:~]*)\s*\([^;]*$`,
			`^(?P<name>[A-Za-z_]\w*::~?\w+)\s*\([^;]*$`),
		comments: []string{"//", "/*", "*", "[["},
	},
	"php": {
		containers: res(`^(?:(?:abstract|final|readonly)\s+)*(?:class|interface|trait|enum)\s+`+id, `^namespace\s+(?P<name>[\w\\]+)\s*\{`),
		units:      res(`^(?:(?:public|private|protected|static|abstract|final)\s+)*function\s+&?` + id),
		comments:   []string{"//", "/*", "*", "#"},
	},
	"shell": {
		units:    res(`^(?:function\s+)?(?P<name>[\w:.-]+)\s*\(\)\s*\{?`, `^function\s+(?P<name>[\w:.-]+)`),
		comments: []string{"#"},
	},
	"lua": {
		units:    res(`^(?:local\s+)?function\s+(?P<name>[\w.:]+)`, `^(?:local\s+)?(?P<name>[\w.]+)\s*=\s*function`),
		comments: []string{"--"},
	},
	"perl": {
		units:    res(`^sub\s+`+id, `^package\s+(?P<name>[\w:]+)`),
		comments: []string{"#"},
	},
	"r": {
		units:    res(`^(?P<name>[\w.]+)\s*(?:<-|=)\s*function`),
		comments: []string{"#"},
	},
	"elixir": {
		containers: res(`^(?:defmodule|defprotocol|defimpl)\s+(?P<name>[\w.]+)`), units: res(`^defp?(?:macro)?\s+(?P<name>[\w?!]+)`),
		comments: []string{"#", "@"},
	},
	"haskell": {
		units:    res(`^(?P<name>[a-z_][\w']*)\s*::`, `^(?:data|newtype|type|class|instance)\s+(?P<name>[^=]{1,80})`),
		comments: []string{"--"},
	},
	"sql": {
		units: res(`(?i)^create\s+(?:or\s+replace\s+)?(?:unique\s+|materialized\s+|temporary\s+|temp\s+)*(?:table|view|function|procedure|index|trigger|type|schema|policy|role|extension)\s+(?:if\s+not\s+exists\s+|concurrently\s+)*(?P<name>[\w."]+)`,
			`(?i)^alter\s+table\s+(?:if\s+exists\s+)?(?P<name>[\w."]+)`),
		comments: []string{"--"},
	},
	"proto": {
		containers: res(`^(?:message|service)\s+` + id), units: res(`^(?:enum|rpc|extend)\s+(?P<name>[\w.]+)`),
		comments: []string{"//", "/*", "*"},
	},
	"graphql": {
		units:    res(`^(?:type|interface|input|enum|union|scalar|directive|extend\s+type|query|mutation|fragment)\s+@?` + id),
		comments: []string{"#", `"""`},
	},
	"terraform": {
		units:    res(`^(?:resource|data)\s+"(?P<recv>[^"]+)"\s+"(?P<name>[^"]+)"`, `^(?:variable|output|module|provider)\s+"(?P<name>[^"]+)"`),
		comments: []string{"#", "//"},
	},
	"yaml":     {units: res(`^(?P<name>[A-Za-z_][\w./-]*):(?:\s|$)`), comments: []string{"#"}},
	"toml":     {units: res(`^\[\[?(?P<name>[^\]]+)\]`), comments: []string{"#"}},
	"ini":      {units: res(`^\[(?P<name>[^\]]+)\]`), comments: []string{"#", ";"}},
	"makefile": {units: res(`^(?P<name>[\w./%$(){}-]+)\s*:(?:[^=]|$)`), comments: []string{"#", ".PHONY"}},
	"css":      {units: res(`^(?P<name>[.#@:\w\[*][^{]{0,120}?)\s*\{`), comments: []string{"/*", "*", "//"}},
})

// aliased adds the languages that are cut like another one.
func aliased(languages map[string]*language) map[string]*language {
	for _, l := range languages {
		if l.containers == nil {
			l.containers = none
		}
	}
	for alias, of := range map[string]string{"typescript": "javascript", "csharp": "java", "groovy": "java", "dart": "java", "cpp": "c", "objectivec": "c", "vue": "javascript", "svelte": "javascript"} {
		languages[alias] = languages[of]
	}
	return languages
}

var byExtension = map[string]string{
	"go": "go", "py": "python", "pyi": "python", "rb": "ruby", "rake": "ruby",
	"js": "javascript", "mjs": "javascript", "cjs": "javascript", "jsx": "javascript", "ts": "typescript", "tsx": "typescript", "mts": "typescript",
	"vue": "vue", "svelte": "svelte",
	"java": "java", "kt": "kotlin", "kts": "kotlin", "scala": "scala", "groovy": "groovy", "gradle": "groovy", "cs": "csharp", "dart": "dart", "swift": "swift",
	"rs": "rust", "c": "c", "h": "c", "cc": "cpp", "cpp": "cpp", "cxx": "cpp", "hpp": "cpp", "hh": "cpp", "m": "objectivec", "mm": "objectivec",
	"php": "php", "sh": "shell", "bash": "shell", "zsh": "shell", "fish": "shell", "lua": "lua", "pl": "perl", "pm": "perl", "r": "r",
	"ex": "elixir", "exs": "elixir", "erl": "erlang", "hs": "haskell", "clj": "clojure", "jl": "julia", "zig": "zig", "nim": "nim", "ml": "ocaml", "fs": "fsharp",
	"ps1": "powershell", "bat": "batch", "s": "assembly", "asm": "assembly",
	"sql": "sql", "proto": "proto", "graphql": "graphql", "gql": "graphql", "tf": "terraform", "hcl": "terraform",
	"yaml": "yaml", "yml": "yaml", "toml": "toml", "ini": "ini", "cfg": "ini", "conf": "ini", "env": "shell", "properties": "ini", "json": "json", "jsonl": "json", "ipynb": "json",
	"xml": "xml", "css": "css", "scss": "css", "less": "css", "csv": "csv", "tsv": "csv", "mk": "makefile", "cmake": "cmake", "diff": "diff", "patch": "diff",
}

var byFileName = map[string]string{
	"makefile": "makefile", "gnumakefile": "makefile", "dockerfile": "dockerfile", "containerfile": "dockerfile", "jenkinsfile": "groovy", "tiltfile": "python",
	"rakefile": "ruby", "gemfile": "ruby", "vagrantfile": "ruby", "go.mod": "gomod", "go.sum": "gomod", "go.work": "gomod", "cmakelists.txt": "cmake",
	".gitignore": "ini", ".dockerignore": "ini", ".editorconfig": "ini", ".env": "shell", "license": "prose", "codeowners": "ini",
}
