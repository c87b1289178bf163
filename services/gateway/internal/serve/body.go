package serve

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/services/gateway/internal/contract"
)

// form says how the body is to be read.
func (s *Edge) form(r *http.Request, op *contract.Operation) (contract.Form, map[string]string, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") && (len(op.Body.Types) > 0 || r.ContentLength != 0) {
		return contract.NoBody, nil, errs.New(errs.Unsupported, "a compressed body is not read here")
	}
	kind := r.Header.Get("Content-Type")
	if r.ContentLength == 0 && r.Body == http.NoBody && !op.Body.Required {
		return contract.NoBody, nil, nil
	}
	return op.Body.Read(kind)
}

// body reads a bounded body and adds it to the payload.
func (s *Edge) body(c echo.Context, op *contract.Operation, params []byte, form contract.Form) ([]byte, error) {
	raw, err := readAll(c, s.maxBody(op))
	if err != nil {
		return nil, err
	}
	payload := open(params)
	if form == contract.URLForm {
		values, err := parseQuery(string(raw))
		if err != nil {
			return nil, err
		}
		payload = append(member(payload, params), `"body":`...)
		payload, faults := op.Body.Fields(payload, values, nil)
		if len(faults) > 0 {
			return nil, invalid(faults)
		}
		return closed(payload), nil
	}
	before := len(payload)
	payload = append(member(payload, params), `"body":`...)
	payload, present, faults, err := op.Body.JSON(payload, raw)
	switch {
	case err != nil:
		return nil, err
	case len(faults) > 0:
		return nil, invalid(faults)
	case !present:
		payload = payload[:before]
	}
	return closed(payload), nil
}

// mostUnread is how much is looked at of a body that nobody reads, in bytes.
const mostUnread = 64 << 10

// bodiless refuses a body that says something where none is read.
func bodiless(c echo.Context) error {
	if r := c.Request(); r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	body, err := readAll(c, mostUnread)
	if err != nil {
		return err
	}
	if faults := contract.Nothing(body); len(faults) > 0 {
		return invalid(faults)
	}
	return nil
}
