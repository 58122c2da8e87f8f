package semantic

import "math"

// Rows are the vectors of the pieces, pieces × dimension, as numbers that can be
// trained further.
func (m *Model) Rows() []float32 {
	dim := m.header.Dimension
	out := make([]float32, len(m.rows))
	for i, q := range m.rows {
		out[i] = m.scale[i/dim] * float32(q)
	}
	return out
}

// Encode gives the ids of a text's pieces, without those that nobody knows.
func (m *Model) Encode(text string) []int32 {
	var ids []int32
	for _, id := range m.pieces.Encode(text) {
		if id != unknownPiece && id <= math.MaxInt32 {
			ids = append(ids, int32(id))
		}
	}
	return ids
}

// With is the file of a model with the same pieces and sayings and other rows. data says
// what those were trained on.
func (m *Model) With(name, data string, rows []float32) ([]byte, error) {
	return Write(name, m.header.Licence, data, m.header.Dimension, m.vocabulary, m.table, rows)
}

// Data says what the model was trained on.
func (m *Model) Data() string { return m.header.Data }
