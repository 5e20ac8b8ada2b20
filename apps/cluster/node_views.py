"""The node API's way in: a machine joins. What a node may do then is in ``apps.jobs.node_views``."""

from django.conf import settings
from pydantic import ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.cluster import services
from apps.cluster.authentication import IsNode, NodeTokenAuthentication
from apps.core.errors import InvalidInput
from workers.contract.node_api import JoinReply, JoinRequest
from workers.contract.queues import node_queue


class NodeApiView(APIView):
    """A view for agents: signed by a node token, not by a user."""

    authentication_classes = (NodeTokenAuthentication,)
    permission_classes = (IsNode,)
    schema = None


class JoinView(APIView):
    """Lets a machine in by its join token."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    schema = None

    def post(self, request: Request) -> Response:
        """Exchange a join token for a node token."""
        if isinstance(request.data, dict) and isinstance(version := request.data.get("contract_version"), int):
            services.check_contract(version)  # before the shape: another version may have another
        try:
            wanted = JoinRequest.model_validate(request.data)
        except ValidationError as error:
            raise InvalidInput.from_pydantic(error, data=request.data) from error
        joined = services.join_node(request=wanted)
        reply = JoinReply(
            node_id=joined.node.pk,
            node_token=joined.secret,
            broker_url=settings.BROKER_URL,
            queue=node_queue(joined.node.name),
        )
        return Response(reply.model_dump(mode="json"))
