"""One sentence on what to do about a failure that pauses a run."""

from penstock.models import Failure, Fault

_BY_CODE = {
    "certificate": "Check the address, or trust its authority with --ca-file.",
    "too_many_files": "Raise the limit of open files (ulimit -n), or lower --concurrency.",
    "model_not_found": "Check the model's name: `penstock check` lists those that the endpoint offers.",
}

_BY_STATUS = {
    301: "Set the base URL to the address that it redirects to.",
    302: "Set the base URL to the address that it redirects to.",
    307: "Set the base URL to the address that it redirects to.",
    308: "Set the base URL to the address that it redirects to.",
    401: "Check the key: white space or quotes around it, upper and lower case, whether it is used up. Then run again.",
    402: "Top up the account, or wait until its new period, then run the same command again.",
    403: "The key may not do this: check its permissions, the region and the model. Then run again.",
    404: "Check the base URL (it usually ends in /v1) and the model: `penstock check` says which is wrong.",
    429: "The quota is used up: top up the account or wait for the new period, then run the same command again.",
}


def advise(failure: Failure) -> str:
    """What to do next, in one sentence."""
    if failure.code in _BY_CODE:
        return _BY_CODE[failure.code]
    if failure.fault is Fault.UNSENT:
        return "Check the base URL, that the server is up, and the network: `penstock check` tries each."
    if failure.fault is Fault.OVERLOADED:
        return "The provider is down or overloaded: run again in 1 to 5 minutes, or name another --endpoint."
    if failure.fault is Fault.THROTTLED:
        return "The account's limit is reached: lower --concurrency or --rpm, or raise the plan."
    if failure.status in _BY_STATUS:
        return _BY_STATUS[failure.status]
    return "Mend this, then run the same command again."
