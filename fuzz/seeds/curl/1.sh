$ curl -sSLk -u ann:open-sesame-1 -G https://shop.example.com/api/search -d q=red -d 'page=2' --data-urlencode 'sort=-price & name'
