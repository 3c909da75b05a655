<?php
// For PHP's built-in server: signature over php://input, with its prefix, compared in constant time.
$body = file_get_contents('php://input');
$fault = null;
try {
    $ours = 'sha256=' . hash_hmac('sha256', $body, getenv('SECRET'));
    $status = hash_equals($ours, $_SERVER['HTTP_X_CLOAKRADAR_SIGNATURE']) ? 200 : 401;
} catch (TypeError $error) {
    [$status, $fault] = [500, $error->getMessage()];
}
$headers = array_change_key_case(getallheaders());
$line = ['status' => $status, 'fault' => $fault, 'headers' => $headers, 'body' => base64_encode($body)];
file_put_contents('php://stdout', json_encode($line) . "\n");
http_response_code($status);
