// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vhostuser;

import static org.ioasis.spec.VhostUser.*;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import org.ioasis.peer.ProtocolException;

/**
 * Any bytes as what a front end sends: what is made of them depends on nothing behind their
 * message, and is within its bounds. Any thread.
 */
public final class VhostUserFuzz {
    private VhostUserFuzz() {}

    private static void require(boolean holds, Object what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private static MemorySegment buffer(byte[] bytes, byte rest) {
        byte[] all = new byte[Codec.MESSAGE_MAX];
        Arrays.fill(all, rest);
        System.arraycopy(bytes, 0, all, 0, Math.min(bytes.length, all.length));
        return MemorySegment.ofArray(all);
    }

    public static void requests(byte[] bytes) {
        Header header = Codec.header(buffer(bytes, (byte) 0));
        try {
            Codec.check(header);
        } catch (ProtocolException e) {
            return;
        }
        byte[] message = Arrays.copyOf(bytes, HEADER_SIZE + (int) header.size());
        String made = made(header, buffer(message, (byte) 0));
        String again = made(header, buffer(message, (byte) 0xff));
        require(made.equals(again), "what lies behind a message changes it: " + made);
    }

    private static String made(Header header, MemorySegment in) {
        Request request;
        try {
            request = Codec.request(header, in);
        } catch (ProtocolException e) {
            return String.valueOf(e.getMessage());
        }
        switch (request) {
            case Request.Table table -> {
                require(table.regions().size() <= MEMORY_REGIONS_MAX, table);
                checkAll(table.regions());
            }
            case Request.OneRegion one -> checkAll(List.of(one.region()));
            case Request.Config config ->
                    require(
                            config.offset() >= 0
                                    && config.size() >= 0
                                    && config.offset() + config.size() <= CONFIG_MAX
                                    && config.size() <= header.size(),
                            config);
            case Request.Inflight log ->
                    require(
                            log.queues() >= 0
                                    && log.queues() <= 0xffff
                                    && log.entries() >= 0
                                    && log.entries() <= 0xffff,
                            log);
            default -> {}
        }
        return request.toString();
    }

    private static void checkAll(List<MemoryRegion> regions) {
        for (MemoryRegion region : regions) {
            require(region.isPossible(), region);
        }
    }
}
