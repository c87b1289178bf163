// Package serve answers what is asked of the federation service.
package serve

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi.yaml ../../../gateway/openapi.yaml
