package catalog

// Lineage says which model another was made from on this box, and how.
type Lineage struct {
	From     string `json:"from"`      // SHA-256 of the model it was made from
	FromName string `json:"from_name"` // its name then
	How      string `json:"how"`       // "quantize", "prune"
	// Of quantize: the type, and the SHA-256 of the texts of the importance
	// matrix, where there was one.
	Type        string `json:"type,omitempty"`
	TextsSHA256 string `json:"texts_sha256,omitempty"`
	// Of prune: the share of each matrix that was asked to be zero, and the
	// layers ("": all).
	Sparsity float64 `json:"sparsity,omitempty"`
	Layers   string  `json:"layers,omitempty"`
}
