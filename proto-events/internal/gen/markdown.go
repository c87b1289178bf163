package main

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	events "github.com/commandcenter/commandcenter/proto-events"
)

const preface = `<!-- Code generated from the catalogue by "make gen". DO NOT EDIT. -->
# What is said on the bus

A fact is stated once, in the transaction that made it true, and then relayed. It may arrive twice (same ` + "`ce-id`" + `) and,
over a redelivery, late: drop what has a lower ` + "`version`" + ` than what you have. The subject is
` + "`evt.<project>.<service>.<noun>.<fact>.v<n>`" + ` with the project as ` + "`p42`" + ` or ` + "`instance`" + `. The body is JSON (binary protobuf when
` + "`content-type`" + ` says so), the CloudEvents 1.0 attributes are headers (` + "`ce-id`, `ce-source`, `ce-type`, `ce-subject`, `ce-time`" + `, ...).
A *consumer* misses nothing (durable); a *follower* hears, in each of its replicas, what is said from now on.
What another team says on its own account, on ` + "`ext.<project>.<team>.<noun>.<fact>.v<n>`" + ` under a schema that it registered, is said again as
[FactAccepted](#factaccepted).
Forms: [asyncapi.yaml](asyncapi.yaml), [schemas/](schemas), the .proto files. Examples: [golden/](golden).

## Who says what to whom

`

func markdown(facts []events.Description, calls []events.CallDescription, said *comments) []byte {
	var b strings.Builder
	b.WriteString(preface)
	b.WriteString(mermaid(facts, calls))
	b.WriteString("\n## Facts\n\n| fact | subject | said by | consumers | followers | public | what it says |\n|---|---|---|---|---|---|---|\n")
	for _, d := range facts {
		m := d.Type().ProtoReflect().Descriptor()
		fmt.Fprintf(&b, "| [%s](#%s) | `%s` | %s | %s | %s | %s | %s |\n", m.Name(), anchor(string(m.Name())),
			d.Subject("<project>"), by(d.Service), joined(d.Consumers), joined(d.Followers), yes(d.Public), firstSentence(said.message(m)))
	}
	b.WriteString("\n## Questions between services\n\nRequest and reply in binary protobuf, for services only.\n\n" +
		"| subject | answered by | asked by | what is asked |\n|---|---|---|---|\n")
	for _, c := range calls {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.Subject(), c.Service, callers(c.Callers),
			said.message(c.Request().ProtoReflect().Descriptor()))
	}
	b.WriteString("\n## Fields\n")
	for _, d := range facts {
		m := d.Type().ProtoReflect().Descriptor()
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n| field | type | meaning |\n|---|---|---|\n", m.Name(), said.message(m))
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name(), typeName(f), said.field(f))
		}
	}
	return []byte(b.String())
}

// external is the fact that what comes from outside becomes.
const external = "ingestion.fact.accepted.v1"

// mermaid draws services and what goes between them; a fact that nobody in the
// house hears yet leads to "other teams" when it is public.
func mermaid(facts []events.Description, calls []events.CallDescription) string {
	edges := map[string][]string{}
	for _, d := range facts {
		label := string(d.Type().ProtoReflect().Descriptor().Name())
		from := d.Service
		if from == events.Any {
			from = "every service"
		}
		for _, to := range d.Consumers {
			edges[from+"|-->|"+to] = append(edges[from+"|-->|"+to], label)
		}
		for _, to := range d.Followers {
			edges[from+"|-.->|"+to] = append(edges[from+"|-.->|"+to], label)
		}
		if d.ID() == external {
			edges["other teams|-->|"+from] = []string{"ext.#lt;project#gt;.#lt;team#gt;.…"}
		}
		if d.Public {
			edges[from+"|-->|other teams"] = append(edges[from+"|-->|other teams"], label)
		}
	}
	for _, c := range calls {
		for _, from := range c.Callers {
			if from == events.Any {
				from = "every service"
			}
			key := from + "|==>|" + c.Service
			edges[key] = append(edges[key], c.Call+"?")
		}
	}
	keys := make([]string, 0, len(edges))
	for k := range edges {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var b strings.Builder
	b.WriteString("```mermaid\nflowchart LR\n")
	for _, k := range keys {
		parts := strings.Split(k, "|")
		fmt.Fprintf(&b, "  %s %s|\"%s\"| %s\n", node(parts[0]), parts[1], strings.Join(edges[k], "<br/>"), node(parts[2]))
	}
	b.WriteString("```\n\nSolid: durable consumer. Dotted: every replica follows. Thick: question and answer.\n")
	return b.String()
}

func node(name string) string {
	id := strings.ReplaceAll(name, " ", "_")
	if id == name {
		return id
	}
	return fmt.Sprintf("%s([%q])", id, name)
}

func typeName(f protoreflect.FieldDescriptor) string {
	name := f.Kind().String()
	if f.Kind() == protoreflect.MessageKind {
		name = string(f.Message().Name())
		if name == "Timestamp" {
			name = "RFC 3339 time or null"
		}
		if name == "Struct" {
			name = "JSON object"
		}
	}
	if f.IsList() {
		return "list of " + name
	}
	return name
}

func by(service string) string {
	if service == events.Any {
		return "every service"
	}
	return service
}

func callers(services []string) string {
	if slices.Equal(services, []string{events.Any}) {
		return "every service"
	}
	return joined(services)
}

func joined(services []string) string {
	if len(services) == 0 {
		return "–"
	}
	return strings.Join(services, ", ")
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func anchor(heading string) string { return strings.ToLower(heading) }

func firstSentence(s string) string {
	if i := strings.IndexAny(s, ".:"); i >= 0 {
		return s[:i] + "."
	}
	return s
}
