package document

func parseMarkdown(base string, text []byte, opt Options) (*Document, error) {
	return nil, Problem{Reason: "not yet"}
}
func parseHTML(base string, text []byte, opt Options) (*Document, error) {
	return nil, Problem{Reason: "not yet"}
}
func parseText(base string, text []byte, opt Options) (*Document, error) {
	return nil, Problem{Reason: "not yet"}
}
func (r *reader) parseOpenFDA(base string, text []byte) error { return Problem{Reason: "not yet"} }
func (r *reader) parseJSONL(base string, text []byte) error   { return Problem{Reason: "not yet"} }
