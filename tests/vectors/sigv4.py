"""Signs what phase-run has to sign, with botocore (AWS's own Python library); prints JSON.

    python3 -m pip install --target DIR botocore==1.44.8 && PYTHONPATH=DIR python3 sigv4.py > sigv4.json
    PYTHONPATH=DIR python3 sigv4.py --verify < requests.json
    PYTHONPATH=DIR python3 sigv4.py --credentials

Nothing here is phase-run's. Before anything is printed, botocore is held to the signatures that AWS
publishes: those of its Signature Version 4 test suite and the example of its documentation.
With `--verify`, signs again what a list of such requests says was signed, and compares; with
`--credentials`, prints the id of the access key that botocore finds on this machine, and its region.
"""

import datetime
import json
import sys
from urllib.parse import urlsplit

import botocore.auth
import botocore.session
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

STAMP = "%Y%m%dT%H%M%SZ"
TYPE = "application/x-www-form-urlencoded; charset=utf-8"
BODY = "Action=GetCallerIdentity&Version=2011-06-15"

SUITE_KEY = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SUITE_TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYR"
    "qTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp7"
    "5YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9F"
    "X9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
SUITE_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
# Name of the case, method, URL, headers, body, service, session token, signature.
PUBLISHED = [
    ("get-vanilla", "GET", "https://example.amazonaws.com/", {}, "", "service", None,
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("post-vanilla", "POST", "https://example.amazonaws.com/", {}, "", "service", None,
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ("post-x-www-form-urlencoded", "POST", "https://example.amazonaws.com/", SUITE_FORM, "Param1=value1",
     "service", None, "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
    ("post-sts-header-before", "POST", "https://example.amazonaws.com/", {}, "", "service", SUITE_TOKEN,
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"),
    ("documentation's ListUsers", "GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
     {"Content-Type": TYPE}, "", "iam", None,
     "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"),
]


def sign(key, token, moment, region, service, method, url, headers, body):
    botocore.auth.get_current_datetime = lambda *_: moment
    request = AWSRequest(method=method, url=url, headers=headers, data=body)
    credentials = Credentials(*key, token)
    botocore.auth.SigV4Auth(credentials, service, region).add_auth(request)
    return request


def check_published() -> None:
    moment = datetime.datetime(2015, 8, 30, 12, 36)
    for name, method, url, headers, body, service, token, published in PUBLISHED:
        signed = sign(SUITE_KEY, token, moment, "us-east-1", service, method, url, headers, body)
        signature = signed.headers["Authorization"].rpartition("Signature=")[2]
        if signature != published:
            sys.exit(f"{name}: botocore's {signature} is not AWS's {published}")


def vector(key, token, region, stamp, endpoint=None, body=BODY) -> dict:
    name = "sts.amazonaws.com" if region == "us-east-1" else f"sts.{region}.amazonaws.com"
    endpoint = endpoint or f"https://{name}/"
    moment = datetime.datetime.strptime(stamp, STAMP)
    signed = sign(key, token, moment, region, "sts", "POST", endpoint, {"Content-Type": TYPE}, body)
    return {
        "access_key": key[0],
        "secret_key": key[1],
        "session_token": token,
        "region": region,
        "endpoint": endpoint,
        "amz_date": stamp,
        "unix": int(moment.replace(tzinfo=datetime.timezone.utc).timestamp()),
        "body": body,
        # Signed from the URL by botocore, and not among its headers.
        "headers": {"Host": urlsplit(endpoint).netloc, **dict(signed.headers.items())},
    }


def vectors() -> list:
    plain = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    temporary = ("ASIAZZZZZZZZZZEXAMPLE", "slash/plus+equals=0123456789abcdefABCDEF")
    token = "IQoJb3JpZ2luX2VjE//+" + "Zm9vYmFy/+" * 60 + "=="
    answer = [
        vector(key, with_token, region, stamp)
        for region in ["us-east-1", "us-east-2", "eu-central-1", "eu-west-1", "ap-southeast-2", "us-gov-west-1"]
        for key, with_token in [(plain, None), (temporary, token)]
        for stamp in ["20261126T000000Z", "20260301T095907Z"]
    ]
    # Where dates go wrong: leap days, ends of years, centuries, and the last second.
    for stamp in [
        "20240229T235959Z", "20280301T000000Z", "20281231T235959Z", "20270101T000001Z", "20000229T120000Z",
        "21000301T000000Z", "20380119T031408Z", "19700101T000000Z", "20991231T235959Z",
    ]:
        answer.append(vector(plain, None, "eu-central-1", stamp))
    return answer


def verify(requests: list) -> None:
    for request in requests:
        key = request["access_key"], request["secret_key"]
        again = vector(
            key, request["session_token"], request["region"], request["amz_date"], request["endpoint"],
            request["body"],
        )
        lower = [{name.lower(): value for name, value in one["headers"].items()} for one in (request, again)]
        if lower[0] != lower[1]:
            sys.exit(f"signed otherwise than botocore does: {lower[0]} is not {lower[1]}")


def found() -> str:
    session = botocore.session.Session()
    credentials = session.get_credentials()
    key = credentials.get_frozen_credentials().access_key if credentials else "none"
    return f"{key} {session.get_config_variable('region')}"


def main() -> None:
    if sys.argv[1:] == ["--credentials"]:
        return print(found())
    check_published()
    if sys.argv[1:] == ["--verify"]:
        verify(json.load(sys.stdin))
    else:
        print(json.dumps(vectors(), indent=1))


main()
