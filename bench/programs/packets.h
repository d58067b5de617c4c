// What the C programs of this folder share: the kernel's own structs where its headers have them, and the walk over tags.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// The kernel's own struct is packed, for which compilers load bytes one by one.
struct ethernet {
	__u16 destination[3];
	__u16 source[3];
	__be16 proto;
};

struct vlan_hdr {
	__be16 tci;
	__be16 proto;
};

// Most tags of a frame, and most extension headers of an IPv6 packet, that anybody looks behind.
#define MAX_TAGS 2
#define MAX_EXTENSIONS 8

// The Ethernet type behind the tags, in network order, 0 when the frame is cut short; *next becomes what follows.
static __always_inline __be16 parse_ethernet(void *data, void *end, void **next)
{
	struct ethernet *eth = data;
	if ((void *)(eth + 1) > end)
		return 0;
	__be16 proto = eth->proto;
	void *at = eth + 1;
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_TAGS; i++) {
		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
		struct vlan_hdr *tag = at;
		if ((void *)(tag + 1) > end)
			return 0;
		proto = tag->proto;
		at = tag + 1;
	}
	*next = at;
	return proto;
}

// The IPv4 header, or NULL.
static __always_inline struct iphdr *find_ipv4(void *data, void *end)
{
	void *at;
	if (parse_ethernet(data, end, &at) != bpf_htons(ETH_P_IP))
		return NULL;
	struct iphdr *ip = at;
	return (void *)(ip + 1) > end ? NULL : ip;
}

struct extension {
	__u8 next;
	__u8 length;
	__be16 offset; // of a fragment header
	__be32 id;
};

// The protocol of the transport header at *next, behind extension headers: of IPv4 and IPv6, or -1.
static __always_inline int parse_transport(void *data, void *end, void **next)
{
	void *at;
	__u8 proto;
	switch (parse_ethernet(data, end, &at)) {
	case bpf_htons(ETH_P_IP): {
		struct iphdr *ip = at;
		if ((void *)(ip + 1) > end)
			return -1;
		__u32 length = ip->ihl * 4;
		if (length < sizeof(*ip) || ip->frag_off & bpf_htons(0x1fff))
			return -1;
		proto = ip->protocol;
		at += length;
		break;
	}
	case bpf_htons(ETH_P_IPV6): {
		struct ipv6hdr *ip = at;
		if ((void *)(ip + 1) > end)
			return -1;
		proto = ip->nexthdr;
		at = ip + 1;
		break;
	}
	default:
		return -1;
	}
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		struct extension *head = at;
		__u32 length;
		switch (proto) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_AH:
		case IPPROTO_FRAGMENT:
			break;
		default:
			*next = at;
			return proto;
		}
		if ((void *)(head + 1) > end)
			return -1;
		if (proto == IPPROTO_FRAGMENT) {
			if (head->offset & bpf_htons(0xfff8))
				return -1;
			length = sizeof(*head);
		} else if (proto == IPPROTO_AH) {
			length = (head->length + 2) * 4;
		} else {
			length = (head->length + 1) * 8;
		}
		proto = head->next;
		at += length;
	}
	return -1;
}
