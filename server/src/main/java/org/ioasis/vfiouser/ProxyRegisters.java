// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vfiouser;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.ioasis.memory.Dma;
import org.ioasis.pci.Regions;
import org.ioasis.spec.Pci;
import org.ioasis.spec.VfioUser;
import org.ioasis.sys.Errno;

/**
 * The registers of somebody else's device: each access is one of its server's, or as many as that
 * takes at a time. What passes here of the configuration space is known: whether the function may
 * reach memory, and what a server that comes again has to be told. Loop thread.
 */
final class ProxyRegisters implements Regions {
    /** Where accesses go. */
    interface Server {
        /** To the server that is there, or that is on its way. */
        void submit(Command command);

        /** To the server that is there; without one it fails. */
        void submitNow(Command command);

        /** The server has done an access. */
        void answered();

        /** Whether a write without an answer can be told from one that has it. */
        boolean takesPosted();

        /** False if an access has failed because there is no server. */
        boolean isThere();

        /** It cannot go on. */
        void lost(String why);
    }

    private final DeviceInfo info;
    private final int dataMax;
    private final Dma dma;
    private final Server server;
    private final WrittenConfig config = new WrittenConfig();
    private Runnable whenGuestActs = () -> {};
    private boolean isMaster;
    private boolean wasMaster;

    /**
     * @param dataMax most data bytes of one access, as the server takes them
     * @param dma the function's way to memory
     */
    ProxyRegisters(DeviceInfo info, int dataMax, Dma dma, Server server) {
        this.info = info;
        this.dataMax = dataMax;
        this.dma = dma;
        this.server = server;
    }

    /** {@code guestActs} runs before a register is read. */
    void signs(Runnable guestActs) {
        whenGuestActs = guestActs;
    }

    /** Whether its driver lets the function reach memory. */
    boolean isMaster() {
        return isMaster;
    }

    /** Whether one has ever done so, in this session or in an earlier one. */
    boolean wasMaster() {
        return wasMaster;
    }

    /**
     * A server has come again: the configuration is what the VMM has made it. If it goes meanwhile,
     * the next one is told all of it anew, and nothing of now.
     */
    void restore() {
        config.writeTo((offset, count, data, at) ->
                server.submitNow(
                        Command.write(
                                VfioUser.VFIO_PCI_CONFIG_REGION_INDEX,
                                offset,
                                count,
                                data,
                                at,
                                false,
                                (errno, _, _) -> {
                                    if (errno != 0 && server.isThere()) {
                                        server.lost(
                                                "it refuses a register at 0x%x: %s"
                                                        .formatted(offset, Errno.name(errno)));
                                    }
                                })));
    }

    /** The VMM resets the function. */
    void reset() {
        isMaster = false;
        config.forget();
    }

    /** The server has gone for good, and its function with it. */
    void gone() {
        isMaster = false;
        dma.deviceReset();
    }

    /** The server has gone, and comes again with a function that may do what this one might. */
    void restarts() {
        dma.deviceReset();
        if (isMaster) {
            dma.deviceStarted();
        }
    }

    @Override
    public long size(int region) {
        return region < 0 || region >= info.regionSizes().size()
                ? 0
                : info.regionSizes().get(region);
    }

    private boolean isAccess(int region, long offset, int count) {
        return offset >= 0 && offset <= size(region) - count;
    }

    @Override
    public void read(
            int region, long offset, int count, MemorySegment data, long at, Answer answer) {
        if (!isAccess(region, offset, count)) {
            answer.done(Errno.EINVAL);
            return;
        }
        whenGuestActs.run();
        readOn(region, offset, count, data, at, 0, answer);
    }

    /** Reads what follows the first {@code done} bytes, as many at a time as the server takes. */
    private void readOn(
            int region,
            long offset,
            int count,
            MemorySegment data,
            long at,
            int done,
            Answer answer) {
        int part = Math.min(count - done, dataMax);
        server.submit(
                Command.read(
                        region,
                        offset + done,
                        part,
                        (errno, in, from) -> {
                            if (in != null) {
                                server.answered();
                                MemorySegment.copy(in, from, data, at + done, part);
                            }
                            if (errno != 0 || done + part == count) {
                                answer.done(errno);
                            } else {
                                readOn(region, offset, count, data, at, done + part, answer);
                            }
                        }));
    }

    @Override
    public void write(
            int region,
            long offset,
            int count,
            MemorySegment data,
            long at,
            boolean isPosted,
            Answer answer) {
        if (!isAccess(region, offset, count)) {
            answer.done(Errno.EINVAL);
            return;
        }
        if (region == VfioUser.VFIO_PCI_CONFIG_REGION_INDEX) {
            config.written(offset, count, data, at);
            // The byte of the register that holds COMMAND.MASTER.
            if (offset <= Pci.COMMAND && offset + count > Pci.COMMAND) {
                follow(data.get(ValueLayout.JAVA_BYTE, at + (Pci.COMMAND - offset)));
            }
        }
        if (count <= dataMax) {
            writeOn(region, offset, count, data, at, 0, isPosted, answer);
        } else {
            // The data is the caller's again when this returns.
            byte[] copy = data.asSlice(at, count).toArray(ValueLayout.JAVA_BYTE);
            writeOn(region, offset, count, MemorySegment.ofArray(copy), 0, 0, isPosted, answer);
        }
    }

    /** Writes what follows the first {@code done} bytes, as many at a time as the server takes. */
    private void writeOn(
            int region,
            long offset,
            int count,
            MemorySegment data,
            long at,
            int done,
            boolean isPosted,
            Answer answer) {
        int part = Math.min(count - done, dataMax);
        server.submit(
                Command.write(
                        region,
                        offset + done,
                        part,
                        data,
                        at + done,
                        isPosted && server.takesPosted(),
                        (errno, _, _) -> {
                            if (errno == 0) {
                                server.answered();
                            }
                            if (errno != 0 || done + part == count) {
                                answer.done(errno);
                            } else {
                                writeOn(
                                        region,
                                        offset,
                                        count,
                                        data,
                                        at,
                                        done + part,
                                        isPosted,
                                        answer);
                            }
                        }));
    }

    /** The function reaches memory from the moment on that it is told so, and no longer. */
    private void follow(byte command) {
        boolean isNow = (command & Pci.COMMAND_MASTER) != 0;
        if (isNow && !isMaster) {
            dma.deviceStarted();
        }
        isMaster = isNow;
        wasMaster |= isNow;
    }
}
