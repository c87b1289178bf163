package serve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/labstack/echo/v4"
	swaggerfiles "github.com/swaggo/files/v2"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
	"github.com/commandcenter/commandcenter/services/gateway/internal/ui"
)

// asset is a file of a page. A policy says what a browser may do with it; without
// one it is no page, and may do nothing.
type asset struct {
	kind   string
	policy string
	etag   string
	body   []byte
}

// page is the documentation page. Everything that it loads comes from here, and
// nothing in it runs inline, so that its policy can forbid the rest.
var page = template.Must(template.New("docs").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.}} API</title>
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript. The document itself is at <a href="/openapi.json">/openapi.json</a>.</noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`))

const start = `window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  showExtensions: true, // x-permission: who may call it
  validatorUrl: null,
  persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
`

// kinds of the files that the page needs; nothing else of the package is shown.
var docKinds = map[string]string{
	"swagger-ui.css":       "text/css; charset=utf-8",
	"swagger-ui-bundle.js": "text/javascript; charset=utf-8",
	"favicon-32x32.png":    "image/png",
}

const docPage = "" // name of the page itself among its files

func docAssets(app string) (map[string]asset, error) {
	out := map[string]asset{"start.js": newAsset("text/javascript; charset=utf-8", cspDocs, []byte(start))}
	for name, kind := range docKinds {
		body, err := fs.ReadFile(swaggerfiles.FS, path.Join("dist", name))
		if err != nil {
			body, err = fs.ReadFile(swaggerfiles.FS, name)
		}
		if err != nil {
			return nil, fmt.Errorf("documentation page: %w", err)
		}
		out[name] = newAsset(kind, cspDocs, body)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, app); err != nil {
		return nil, fmt.Errorf("documentation page: %w", err)
	}
	out[docPage] = newAsset("text/html; charset=utf-8", cspDocs, b.Bytes())
	return out, nil
}

func newAsset(kind, policy string, body []byte) asset {
	sum := sha256.Sum256(body)
	return asset{kind: kind, policy: policy, etag: `"` + hex.EncodeToString(sum[:12]) + `"`, body: body}
}

func (s *Edge) docsPage(c echo.Context, _ *contract.Operation, _ tenant.Identity, _ []byte) error {
	return s.sendAsset(c, s.docs[docPage])
}

func (s *Edge) docsAsset(c echo.Context, _ *contract.Operation, _ tenant.Identity, _ []byte) error {
	a, ok := s.docs[c.ParamValues()[0]]
	if !ok {
		return errs.New(errs.NotFound, "Not Found")
	}
	return s.sendAsset(c, a)
}

// uiAssets are the files of the search page.
func uiAssets() (map[string]asset, error) {
	files, err := ui.Files()
	if err != nil {
		return nil, err
	}
	out := make(map[string]asset, len(files))
	for _, f := range files {
		out[f.Name] = newAsset(f.Kind, ui.Policy, f.Body)
	}
	return out, nil
}

func (s *Edge) uiPage(c echo.Context, _ *contract.Operation, _ tenant.Identity, _ []byte) error {
	return s.sendAsset(c, s.ui[ui.Page])
}

func (s *Edge) uiAsset(c echo.Context, _ *contract.Operation, _ tenant.Identity, _ []byte) error {
	a, ok := s.ui[c.ParamValues()[0]]
	if !ok || a.kind == s.ui[ui.Page].kind { // the page has one address
		return errs.New(errs.NotFound, "Not Found")
	}
	return s.sendAsset(c, a)
}

func (s *Edge) openapi(c echo.Context, _ *contract.Operation, _ tenant.Identity, _ []byte) error {
	return s.sendAsset(c, s.document)
}

func (s *Edge) sendAsset(c echo.Context, a asset) error {
	h := c.Response().Header()
	h.Set("Etag", a.etag)
	h.Set("Cache-Control", "no-cache") // ask again, and be told 304
	if a.policy != "" {
		h.Set("Content-Security-Policy", a.policy)
	}
	if names(c.Request().Header["If-None-Match"], a.etag) {
		c.Response().WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", a.kind)
	return s.send(c, http.StatusOK, a.body)
}

// names reports whether one of the lines of If-None-Match names the entity tag,
// by the weak comparison of RFC 9110 (8.8.3.2, 13.1.2). A line is read as far
// as it is well formed.
func names(lines []string, etag string) bool {
	for _, rest := range lines {
		for {
			rest = strings.TrimLeft(rest, " \t,")
			if strings.HasPrefix(rest, "*") {
				return true
			}
			tag, ok := strings.CutPrefix(strings.TrimPrefix(rest, "W/"), `"`)
			if !ok {
				break
			}
			opaque, after, ok := strings.Cut(tag, `"`)
			if !ok {
				break
			}
			if `"`+opaque+`"` == etag {
				return true
			}
			rest = after
		}
	}
	return false
}
