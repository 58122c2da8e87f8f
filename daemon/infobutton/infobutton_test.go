package infobutton

import (
	"errors"
	"net/url"
	"testing"
)

func TestReadRequest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		query, code, system, name, form string
		topics                          int
		wrong                           string
	}{
		{"mainSearchCriteria.v.c=860975&mainSearchCriteria.v.cs=2.16.840.1.113883.6.88&knowledgeResponseType=application/json", "860975", "rxcui", "", JSON, len(general), ""},
		{"mainSearchCriteria.v.c=0093-1048-01&mainSearchCriteria.v.cs=2.16.840.1.113883.6.69", "0093-1048-01", "ndc", "", Atom, len(general), ""},
		{"mainSearchCriteria.v.dn=warfarin&subTopic.v.c=Q000744&knowledgeResponseType=text/xml", "", "", "warfarin", XML, 1, ""},
		{"mainSearchCriteria.v.dn=warfarin&taskContext.c.c=MEDOE", "", "", "warfarin", Atom, 4, ""},
		{"mainSearchCriteria.v.c=I10&mainSearchCriteria.v.cs=2.16.840.1.113883.6.90&mainSearchCriteria.v.dn=warfarin", "", "", "warfarin", Atom, len(general), ""},
		{"mainSearchCriteria.v.c=I10&mainSearchCriteria.v.cs=2.16.840.1.113883.6.90", "", "", "", "", 0, "mainSearchCriteria.v.cs"},
		{"mainSearchCriteria.v.c=x&mainSearchCriteria.v.cs=2.16.840.1.113883.6.69", "", "", "", "", 0, "mainSearchCriteria.v.cs"},
		{"", "", "", "", "", 0, "mainSearchCriteria"},
		{"mainSearchCriteria.v.dn=warfarin&knowledgeResponseType=image/png", "", "", "", "", 0, "knowledgeResponseType"},
		{"mainSearchCriteria.v.dn=%ff", "", "", "", "", 0, "parameters"},
	} {
		q, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ReadRequest(q)
		var re *RequestError
		if c.wrong != "" {
			if !errors.As(err, &re) || re.Field != c.wrong {
				t.Errorf("%s: %v, want %s", c.query, err, c.wrong)
			}
			continue
		}
		if err != nil || r.Code != c.code || r.System != c.system || r.Name != c.name || r.Form != c.form || len(r.Topics) != c.topics {
			t.Errorf("%s: %+v %v", c.query, r, err)
		}
	}
}

func FuzzReadRequest(f *testing.F) {
	f.Add("mainSearchCriteria.v.c=860975&mainSearchCriteria.v.cs=2.16.840.1.113883.6.88&subTopic.v.c=x&subTopic.v.dn=%25s")
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		r, err := ReadRequest(q)
		if err != nil {
			var re *RequestError
			if !errors.As(err, &re) {
				t.Fatal(err)
			}
			return
		}
		if r.Code == "" && r.Name == "" || len(r.Topics) == 0 || r.Form == "" {
			t.Fatalf("%+v", r)
		}
	})
}
