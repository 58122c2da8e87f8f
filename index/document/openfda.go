package document

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"unicode"
)

// parseOpenFDA reads drug labels as openFDA gives them (open.fda.gov,
// "drug/label"): a reply or a bulk file {"results": […]}, an array of records,
// or one record.
func (r *reader) parseOpenFDA(base string, src *bufio.Reader) error {
	return newRecords(src, r.opt).each(func(n, line int, raw []byte) error {
		d, err := openFDALabel(base, raw)
		return r.recorded(n, line, r.one(d, err))
	}, r.problem)
}

// recorded keeps what is wrong with the n-th record of a file, so that the rest goes on.
func (r *reader) recorded(n, line int, err error) error {
	if p, ok := err.(Problem); ok && n > 0 {
		p.Record, p.Line, p.Column = n, line, 0
		r.problem(p)
		return nil
	}
	return err
}

// notSections are the fields of a record that hold no text of the label.
var notSections = map[string]bool{
	"set_id": true, "id": true, "version": true, "effective_time": true, "openfda": true,
	"spl_product_data_elements": true, "meta": true,
}

// openFDALabel reads one record.
func openFDALabel(base string, raw []byte) (*Document, error) {
	var head struct {
		SetID     string   `json:"set_id"`
		ID        string   `json:"id"`
		Version   flexible `json:"version"`
		Effective string   `json:"effective_time"`
		OpenFDA   struct {
			Brand     texts `json:"brand_name"`
			Generic   texts `json:"generic_name"`
			Substance texts `json:"substance_name"`
			Product   texts `json:"product_ndc"`
			Package   texts `json:"package_ndc"`
			RxCUI     texts `json:"rxcui"`
			UPC       texts `json:"upc"`
			UNII      texts `json:"unii"`
		} `json:"openfda"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, jsonProblem(raw, err)
	}
	d := &Document{ID: oneLine(first(head.SetID, head.ID)), Kind: KindOpenFDA, Source: base,
		Version: oneLine(string(head.Version)), Effective: splDate(head.Effective)}
	if d.ID == "" {
		return nil, Problem{Field: "set_id", Reason: "not a drug label of openFDA: it has no set id", Fix: "give records as openFDA's drug/label publishes them"}
	}
	var n names
	var c codes
	n.addAll("brand", head.OpenFDA.Brand)
	n.addAll("generic", head.OpenFDA.Generic)
	n.addAll("ingredient", head.OpenFDA.Substance)
	c.addAll("ndc", head.OpenFDA.Product)
	c.addAll("ndc", head.OpenFDA.Package)
	c.addAll("gtin", head.OpenFDA.UPC)
	c.addAll("rxcui", head.OpenFDA.RxCUI)
	c.addAll("unii", head.OpenFDA.UNII)
	if id := oneLine(head.ID); id != d.ID {
		c.add("spl", id)
	}
	d.Names, d.Codes = n.list, c.list
	d.Title = splTitle("", d)
	top, err := openFDASections(raw)
	if err != nil {
		return nil, err
	}
	d.Sections = assemble(d.ID, top)
	if len(d.Sections) == 0 {
		return nil, Problem{Reason: "a label without any text", Fix: "check where the record comes from"}
	}
	return d, nil
}

func (n *names) addAll(kind string, list texts) {
	for _, v := range list {
		n.add(kind, oneLine(v))
	}
}

func (c *codes) addAll(system string, list texts) {
	for _, v := range list {
		c.add(system, oneLine(v))
	}
}

// openFDASections reads the fields in the order of the record.
func openFDASections(raw []byte) ([]*draft, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil {
		return nil, jsonProblem(raw, err)
	}
	var top []*draft
	byField := map[string]*draft{}
	tables := map[string]texts{}
	var tableOrder []string
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, jsonProblem(raw, err)
		}
		field, _ := key.(string)
		var value texts
		if err := dec.Decode(&value); err != nil {
			if _, isText := err.(*json.UnmarshalTypeError); !isText {
				return nil, jsonProblem(raw, err)
			}
			continue // a field of another shape: not text
		}
		if notSections[field] || len(value) == 0 {
			continue
		}
		if of, ok := strings.CutSuffix(field, "_table"); ok {
			tables[of] = value
			tableOrder = append(tableOrder, of)
			continue
		}
		std, known := SectionByName(strings.ReplaceAll(field, "_", " "))
		dr := &draft{loinc: std.LOINC, title: std.Name}
		if !known {
			dr.title = fieldTitle(field)
		}
		for _, v := range value {
			dr.text = joinText(dr.text, plainLabelText(v, std.LOINC))
		}
		byField[field] = dr
		top = append(top, dr)
	}
	for _, of := range tableOrder {
		dr := byField[of]
		if dr == nil {
			std, _ := SectionByName(strings.ReplaceAll(of, "_", " "))
			dr = &draft{loinc: std.LOINC, title: first(std.Name, fieldTitle(of))}
			byField[of] = dr
			top = append(top, dr)
		}
		for _, markup := range tables[of] {
			n, err := htmlTree([]byte(markup), Options{}.withDefaults())
			if err != nil {
				return nil, Problem{Field: fieldName(of + "_table"), Reason: "markup of a table that cannot be read", Fix: "check where the record comes from"}
			}
			if rows := renderText(n); rows != "" {
				dr.text = insertTable(dr.text, rows)
			}
		}
	}
	return top, nil
}

// insertTable puts the rows of a table where the text has them already, as
// words without any structure, or at the end.
func insertTable(text, rows string) string {
	flat, at := squash(text)
	want, _ := squash(rows)
	i := strings.Index(flat, want)
	if want == "" || i < 0 {
		return joinText(text, rows)
	}
	start, end := at[i], at[i+len(want)-1]
	for end++; end < len(text) && text[end]&0xc0 == 0x80; end++ {
	}
	return joinText(joinText(strings.TrimSpace(text[:start]), rows), strings.TrimSpace(text[end:]))
}

// squash keeps the letters and digits of s, superscripts brought down, with
// the place in s of every byte kept.
func squash(s string) (string, []int) {
	var b strings.Builder
	var at []int
	for i, r := range s {
		if down, ok := subscripts[r]; ok {
			r = down
		}
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			continue
		}
		n := b.Len()
		b.WriteRune(unicode.ToLower(r))
		for ; n < b.Len(); n++ {
			at = append(at, i)
		}
	}
	return b.String(), at
}

var subscripts = func() map[rune]rune {
	m := map[rune]rune{}
	for down, up := range superscripts {
		if unicode.IsLetter(down) || unicode.IsDigit(down) {
			m[up] = down
		}
	}
	return m
}()

func fieldTitle(field string) string {
	words := strings.Fields(strings.ReplaceAll(oneLine(field), "_", " "))
	for i, w := range words {
		r := []rune(w)
		r[0] = unicode.ToUpper(r[0])
		words[i] = string(r)
	}
	return strings.Join(words, " ")
}

// texts is a text or a list of them.
type texts []string

func (t *texts) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return io.ErrUnexpectedEOF
	}
	switch b[0] {
	case '"':
		var s string
		err := json.Unmarshal(b, &s)
		*t = texts{s}
		return err
	case '[':
		var list []string
		err := json.Unmarshal(b, &list)
		*t = list
		return err
	case 'n':
		return nil
	}
	return &json.UnmarshalTypeError{Value: "value", Type: reflect.TypeFor[string]()}
}
