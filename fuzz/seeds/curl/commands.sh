# Copied from a browser, from documentation, from a colleague.
curl --url 'https://shop.example.com/api/orders' \
  -H 'accept: application/json' \
  -H 'accept-language: en-US,en;q=0.9' \
  -H 'authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJlLW9mLWFubg' \
  -b 'sid=0123456789abcdef' \
  -H 'content-type: application/json' \
  -H 'sec-fetch-mode: cors' \
  -H 'user-agent: Mozilla/5.0' \
  --data-raw $'{"note":"it\'s \u00fcber \u0021 ${plain}","qty":2,"password":"open-sesame-1"}' | jq .
$ curl -sSLk -u ann:open-sesame-1 -G https://shop.example.com/api/search -d q=red -d 'page=2' --data-urlencode 'sort=-price & name'
curl -XPUT https://files.example.com/upload/42 -T photos/cat.jpg && curl -F 'title=Cat' -F 'doc=@notes/a.pdf;type=application/pdf' https://files.example.com/upload
curl --json '{"a":1}' 'https://shop.example.com/api/orders/1234567?api_key=k-4711-4711'; curl -I shop.example.com/health --max-time 3
curl https://shop.example.com/login -d user=ann -d password=open-sesame-1
