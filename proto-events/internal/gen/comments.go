package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// comments holds what the .proto files say about messages and fields. The
// descriptors that are linked into a program carry no comments; the generated
// Go does.
type comments struct {
	byPlace map[string]string // "<go package>.<Type>" or "<go package>.<Type>.<json name>"
}

func readComments(root string) (*comments, error) {
	paths, err := filepath.Glob(filepath.Join(root, "*", "v*", "*.pb.go"))
	if err != nil {
		return nil, fmt.Errorf("list generated files: %w", err)
	}
	c := &comments{byPlace: map[string]string{}}
	for _, path := range paths {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		for _, decl := range f.Decls {
			if g, ok := decl.(*ast.GenDecl); ok {
				c.read(f.Name.Name, g)
			}
		}
	}
	return c, nil
}

func (c *comments) read(pkg string, g *ast.GenDecl) {
	for _, spec := range g.Specs {
		t, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		s, ok := t.Type.(*ast.StructType)
		if !ok {
			continue
		}
		place := pkg + "." + t.Name.Name
		c.byPlace[place] = strings.TrimSpace(g.Doc.Text())
		for _, f := range s.Fields.List {
			if f.Tag != nil {
				c.byPlace[place+"."+protoName(f.Tag.Value)] = oneLine(f.Doc.Text())
			}
		}
	}
}

// protoName finds the .proto name in the struct tag of a generated field.
func protoName(tag string) string {
	_, rest, _ := strings.Cut(tag, "name=")
	name, _, _ := strings.Cut(rest, ",")
	return name
}

func (c *comments) message(m protoreflect.MessageDescriptor) string {
	return oneLine(c.byPlace[place(m)])
}

func (c *comments) field(f protoreflect.FieldDescriptor) string {
	if m, ok := f.Parent().(protoreflect.MessageDescriptor); ok {
		if said := c.byPlace[place(m)+"."+string(f.Name())]; said != "" {
			return said
		}
	}
	switch f.Name() { // what the rules of the catalogue say of every fact
	case "project_id":
		return "The project; 0 for the instance."
	case "version":
		return "Version of the aggregate."
	}
	return ""
}

// place is the key of a top-level message: commandcenter.auth.v1.ProjectCreated
// is authv1.ProjectCreated in Go.
func place(m protoreflect.MessageDescriptor) string {
	parts := strings.Split(string(m.ParentFile().Package()), ".")
	return parts[len(parts)-2] + parts[len(parts)-1] + "." + string(m.Name())
}
