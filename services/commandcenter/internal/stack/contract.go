package stack

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/commandcenter/commandcenter/services/gateway"
)

// Operation is one operation of the HTTP contract, as far as the bus is
// concerned.
type Operation struct{ ID, Service, Delivery, Permission string }

// Operations lists the operations of the contract by id.
func Operations() ([]Operation, error) { return operations() }

// contractVersion is the version of the HTTP contract.
func contractVersion() (string, error) {
	doc, err := document()
	if err != nil {
		return "", err
	}
	return doc.Info.Version, nil
}

// areas are the tags of the HTTP contract, which scopes of API keys name.
func areas() ([]string, error) {
	doc, err := document()
	if err != nil {
		return nil, err
	}
	out := make([]string, len(doc.Tags))
	for i, t := range doc.Tags {
		out[i] = t.Name
	}
	return out, nil
}

var document = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData(gateway.OpenAPI())
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	return doc, nil
})

var operations = sync.OnceValues(func() ([]Operation, error) {
	doc, err := document()
	if err != nil {
		return nil, err
	}
	var out []Operation
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			o := Operation{ID: op.OperationID}
			var ok1, ok2, ok3 bool
			o.Service, ok1 = op.Extensions["x-service"].(string)
			o.Delivery, ok2 = op.Extensions["x-delivery"].(string)
			o.Permission, ok3 = op.Extensions["x-permission"].(string)
			if o.ID == "" || !ok1 || !ok2 || !ok3 {
				return nil, fmt.Errorf("openapi.yaml: %s %s lacks operationId, x-service, x-delivery or x-permission", method, path)
			}
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b Operation) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
})
