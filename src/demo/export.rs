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

    /// One sheet with its texts in the cells: the five parts that a workbook needs at least.
    pub fn xlsx(&self) -> Vec<u8> {
        const OF_PACKAGES: &str = "http://schemas.openxmlformats.org/package/2006";
        const OF_SHEETS: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
        const OF_OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
        const TYPE: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml";
        let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
        let text = |text: &str| format!("<c t=\"inlineStr\"><is><t>{}</t></is></c>", escape(text));
        let related = |of: &str, to: &str| {
            format!(
                "<Relationships xmlns=\"{OF_PACKAGES}/relationships\">\
                 <Relationship Id=\"r1\" Type=\"{OF_OFFICE}/{of}\" Target=\"{to}\"/></Relationships>"
            )
        };
        let mut rows = format!("<row>{}{}</row>", text("metric"), text("value"));
        for (name, value) in &self.rows {
            let _ = write!(rows, "<row>{}<c><v>{value}</v></c></row>", text(name));
        }
        let types = format!(
            "<Types xmlns=\"{OF_PACKAGES}/content-types\">\
             <Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
             <Override PartName=\"/xl/workbook.xml\" ContentType=\"{TYPE}.sheet.main+xml\"/>\
             <Override PartName=\"/xl/sheet.xml\" ContentType=\"{TYPE}.worksheet+xml\"/></Types>"
        );
        let book = format!(
            "<workbook xmlns=\"{OF_SHEETS}\" xmlns:r=\"{OF_OFFICE}\">\
             <sheets><sheet name=\"Sheet1\" sheetId=\"1\" r:id=\"r1\"/></sheets></workbook>"
        );
        zip(&[
            ("[Content_Types].xml", types),
            ("_rels/.rels", related("officeDocument", "xl/workbook.xml")),
            ("xl/workbook.xml", book),
            ("xl/_rels/workbook.xml.rels", related("worksheet", "sheet.xml")),
            (
                "xl/sheet.xml",
                format!("<worksheet xmlns=\"{OF_SHEETS}\"><sheetData>{rows}</sheetData></worksheet>"),
            ),
        ])
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

/// An archive whose files are stored as they are.
fn zip(files: &[(&str, String)]) -> Vec<u8> {
    const VERSION: u16 = 20;
    // The first day that the format knows.
    const DATE: u16 = 0x21;
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let mut sum = flate2::Crc::new();
        sum.update(text.as_bytes());
        let mut common = Vec::new();
        for short in [VERSION, 0, 0, 0, DATE] {
            common.extend(short.to_le_bytes());
        }
        for long in [sum.sum(), text.len() as u32, text.len() as u32] {
            common.extend(long.to_le_bytes());
        }
        for short in [name.len() as u16, 0] {
            common.extend(short.to_le_bytes());
        }
        directory.extend(b"PK\x01\x02");
        directory.extend(VERSION.to_le_bytes());
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend((out.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        out.extend(b"PK\x03\x04");
        out.extend(common);
        out.extend(name.as_bytes());
        out.extend(text.as_bytes());
    }
    let (start, count) = (out.len() as u32, files.len() as u16);
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    out.extend([(directory.len() as u32).to_le_bytes(), start.to_le_bytes()].concat());
    out.extend([0; 2]);
    out
}
