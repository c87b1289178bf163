package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "permissions:", err)
		os.Exit(1)
	}
}

// run reads the contract from the first file and writes the page to the second.
func run(args []string) error {
	if len(args) != 2 {
		return errors.New("want the files of the contract and of the page")
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	c, err := contract.Load(data)
	if err != nil {
		return err
	}
	return os.WriteFile(args[1], page(c), 0o644) //nolint:gosec // G306: a page for everybody
}

const head = `<!-- Written from openapi.yaml by make gen. DO NOT EDIT. -->
# Who may do what

Stated once, as ` + "`x-permission`" + ` of each operation in [openapi.yaml](openapi.yaml), and enforced at one place, the gateway; a write that waited is
looked at again when it runs. A test walks every operation by every role, in its own project, in another and in none.

Roles are those of a project: ` + "viewer < member < admin < owner" + `; each may do what those before it may. A superuser may do everything in every project.
"logged in" asks for an account and no project. What belongs to another project is not there: 404 in a path, 403 in ` + "`X-Project-ID`" + `,
for every operation that asks who calls.

An API key may do what its holder may and its scopes allow, ` + "`<area>:<level>`" + ` with the level of the column or a higher one (read < write < admin), in its
project alone; "–" takes the session of a person.
`

// page lists the operations by area.
func page(c *contract.Contract) []byte {
	ops := slices.Clone(c.Operations)
	var areas []string
	for _, op := range ops {
		if !slices.Contains(areas, op.Tag) {
			areas = append(areas, op.Tag)
		}
	}
	slices.SortStableFunc(ops, func(a, b *contract.Operation) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
	})
	var b bytes.Buffer
	b.WriteString(head)
	slices.Sort(areas)
	for _, area := range areas {
		fmt.Fprintf(&b, "\n## %s\n\n| operation | call | may be called by | API key |\n|---|---|---|---|\n", area)
		for _, op := range ops {
			if op.Tag == area {
				fmt.Fprintf(&b, "| %s | `%s %s` | %s | %s |\n", op.ID, op.Method, op.Path, caller(op), key(op))
			}
		}
	}
	return b.Bytes()
}

func caller(op *contract.Operation) string {
	switch op.Permission {
	case contract.Public:
		if op.Challenge != "" {
			return "an instance, by its key"
		}
		return "everybody"
	case contract.Authenticated:
		return "logged in"
	}
	if op.Instance != "" {
		return fmt.Sprintf("%s; with `%s`, logged in", op.Permission, op.Instance)
	}
	return string(op.Permission)
}

// key is the level of scope that a key needs.
func key(op *contract.Operation) string {
	if op.SessionOnly || op.Permission == contract.Public {
		return "–"
	}
	return op.Level()
}
