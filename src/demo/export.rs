use std::fmt::Write as _;

/// The rows that every export carries.
pub struct Table {
    pub title: String,
    pub rows: Vec<(String, f64)>,
}

impl Table {
    pub fn csv(&self) -> Vec<u8> {
        let mut out = String::from("metric,value\n");
        for (name, value) in &self.rows {
            let _ = writeln!(out, "\"{}\",{value}", name.replace('"', "\"\""));
        }
        out.into_bytes()
    }

    pub fn xlsx(&self) -> Result<Vec<u8>, rust_xlsxwriter::XlsxError> {
        let mut book = rust_xlsxwriter::Workbook::new();
        let sheet = book.add_worksheet();
        sheet.write(0, 0, "metric")?.write(0, 1, "value")?;
        for (row, (name, value)) in (1u32..).zip(&self.rows) {
            sheet.write(row, 0, name)?.write(row, 1, *value)?;
        }
        book.save_to_buffer()
    }

    /// One page of Helvetica. The cross-reference table gives each object's byte offset, as readers expect.
    pub fn pdf(&self) -> Vec<u8> {
        let escape = |text: &str| text.replace('\\', "\\\\").replace('(', "\\(").replace(')', "\\)");
        let mut page = format!("BT /F1 16 Tf 50 780 Td ({}) Tj /F1 11 Tf", escape(&self.title));
        for (name, value) in &self.rows {
            let _ = write!(page, " 0 -20 Td ({}: {value}) Tj", escape(name));
        }
        page.push_str(" ET");
        let objects = [
            "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
            "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
             /Resources << /Font << /F1 5 0 R >> >> >>"
                .to_owned(),
            format!("<< /Length {} >>\nstream\n{page}\nendstream", page.len()),
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
        ];
        let mut out = String::from("%PDF-1.4\n");
        let mut offsets = Vec::new();
        for (i, object) in objects.iter().enumerate() {
            offsets.push(out.len());
            let _ = write!(out, "{} 0 obj\n{object}\nendobj\n", i + 1);
        }
        let start = out.len();
        let _ = write!(out, "xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
        for offset in offsets {
            let _ = writeln!(out, "{offset:010} 00000 n ");
        }
        let _ = write!(
            out,
            "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n",
            objects.len() + 1
        );
        out.into_bytes()
    }
}
