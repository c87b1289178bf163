package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/commandcenter/commandcenter/pkg/errs"
	"github.com/commandcenter/commandcenter/pkg/tenant"
)

var (
	errMember = errs.New(errs.Forbidden, "this takes a member of the project")
	errAdmin  = errs.New(errs.Forbidden, "this takes an admin of the project")
)

// member looks again: a command may have waited since the edge did.
func member(ctx context.Context) (tenant.Identity, error) {
	who := tenant.From(ctx)
	if !who.Superuser && !who.Role.Allows(tenant.Member) {
		return who, errMember
	}
	return who, nil
}

// said is what a body says, by field. Web forms send an empty text where they mean none;
// of the fields that are kept, which cannot be nothing, such a form says nothing.
func said(body []byte, titled string, kept []string) (map[string]json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, errs.Wrap(errs.Malformed, err, "the body cannot be read")
	}
	if bytes.Equal(all["title"], []byte("null")) {
		return nil, errs.InvalidField("none_required", titled+": leave it out to keep it", "body", "title")
	}
	for _, name := range kept {
		if v := all[name]; bytes.Equal(v, []byte("null")) || bytes.Equal(v, []byte(`""`)) {
			delete(all, name) // as it was, or as it is without
		}
	}
	for name, value := range all {
		if bytes.Equal(value, []byte(`""`)) {
			all[name] = json.RawMessage("null")
		}
	}
	if bytes.Equal(all["title"], []byte("null")) {
		return nil, errs.InvalidField("string_too_short", titled, "body", "title")
	}
	return all, nil
}

// over writes what is said over what is there, and leaves the rest as it is.
func over(what any, said map[string]json.RawMessage) error {
	plain, err := json.Marshal(said)
	if err == nil {
		err = json.Unmarshal(plain, what)
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return errs.InvalidField("type_error", fmt.Sprintf("%s cannot be a %s", wrong.Field, wrong.Value), "body", wrong.Field)
	}
	if err != nil {
		return errs.Wrap(errs.Malformed, err, "the body cannot be read")
	}
	return nil
}

// matched is the version that If-Match names, 0 for any; moved refuses a tag that we
// never gave.
func matched(tag string, moved error) (int64, error) {
	tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
	if tag == "" || tag == "*" {
		return 0, nil
	}
	v, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64)
	if err != nil || v < 1 {
		return 0, moved
	}
	return v, nil
}

// tagged are the headers that tell a version, for If-Match.
func tagged(version int64) map[string]string {
	return map[string]string{"ETag": `"` + strconv.FormatInt(version, 10) + `"`}
}
