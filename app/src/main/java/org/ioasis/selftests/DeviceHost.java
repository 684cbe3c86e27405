// SPDX-License-Identifier: Apache-2.0
package org.ioasis.selftests;

import java.io.IOException;
import java.util.List;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.ProgramMachine;
import org.ioasis.pci.SharedMemoryFunction;
import org.ioasis.program.CallTrace;
import org.ioasis.program.ProgramRun;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.ProgramSetting;
import org.ioasis.vfiodevice.AssignedDevice;
import org.ioasis.virtqueue.RingFormat;

/**
 * Devices under {@code /dev/vfio}, as {@code ioasis host --device}: what the kernel's tests ask of
 * one that they have no driver for is a BAR that can be mapped and vectors. One thread.
 */
final class DeviceHost implements TestHost {
    /** One for most programs; one of them sets up all that there are at once. */
    private static final int DEVICES = 4;

    private static final int BAR_BYTES = 1 << 18;

    /** As many as a test looks at. */
    private static final int VECTORS = 16;

    private final ProgramMachine machine;

    DeviceHost() throws IOException {
        machine =
                new ProgramMachine(
                        "selftests",
                        IommufdNode.builder().build(),
                        IdlePolicy.EVENT_DRIVEN,
                        RingFormat.SPLIT);
        for (int endpoint = 1; endpoint <= DEVICES; endpoint++) {
            machine.add(endpoint, _ -> new SharedMemoryFunction(BAR_BYTES, VECTORS));
        }
        machine.start();
    }

    @Override
    public List<String> devices() {
        return machine.served().stream().map(AssignedDevice::address).toList();
    }

    @Override
    public ProgramRun start(List<byte[]> command)
            throws ErrnoException, IOException, InterruptedException {
        return ProgramRun.start(
                command,
                ProgramSetting.INHERITED,
                machine.files().build(),
                CallTrace.none(),
                machine.loop());
    }

    @Override
    public void close() throws IOException {
        machine.close();
    }
}
