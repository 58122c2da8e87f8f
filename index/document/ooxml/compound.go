package ooxml

import "bytes"

// CompoundMagic begins files in Microsoft's Compound File Binary format: those of
// Office programs before 2007, and encrypted ones since.
const CompoundMagic = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

// Compound says what a compound file is and what to do about it, by the names of
// the streams in its directory ([MS-CFB] 2.6.1: UTF-16LE).
func Compound(data []byte) *Error {
	for _, k := range []struct{ stream, what, fix string }{
		{"EncryptedPackage", "an Office file that is encrypted with a password", "save it without a password"},
		{"WordDocument", "an old Microsoft Office file (Word 97–2003, .doc), which cannot be read", "save it as .docx"},
		{"Workbook", "an old Microsoft Office file (Excel 97–2003, .xls), which cannot be read", "save it as .xlsx"},
		{"PowerPoint Document", "an old Microsoft Office file (PowerPoint 97–2003, .ppt), which cannot be read", "save it as PDF"},
		{"__properties_version1.0", "a message of Outlook (.msg), which cannot be read", "save the message as HTML or plain text"},
	} {
		if bytes.Contains(data, utf16le(k.stream)) {
			return &Error{k.what, k.fix}
		}
	}
	return &Error{"an old Microsoft Office file, which cannot be read", "save it as .docx or .xlsx"}
}

func utf16le(s string) []byte {
	out := make([]byte, 0, 2*len(s))
	for i := range len(s) {
		out = append(out, s[i], 0)
	}
	return out
}
