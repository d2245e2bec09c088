curl -XPUT https://files.example.com/upload/42 -T photos/cat.jpg && curl -F 'title=Cat' -F 'doc=@notes/a.pdf;type=application/pdf' https://files.example.com/upload
