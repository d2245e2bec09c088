curl --json '{"a":1}' 'https://shop.example.com/api/orders/1234567?api_key=k-4711-4711'; curl -I shop.example.com/health --max-time 3
