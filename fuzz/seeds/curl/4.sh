curl https://shop.example.com/login -d user=ann -d password=open-sesame-1
