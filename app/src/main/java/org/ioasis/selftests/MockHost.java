// SPDX-License-Identifier: Apache-2.0
package org.ioasis.selftests;

import java.io.IOException;
import java.util.List;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.iommufd.mock.MockDriver;
import org.ioasis.program.CallTrace;
import org.ioasis.program.ProgramRun;
import org.ioasis.sys.ErrnoException;

/** What a kernel has that is built to test iommufd, as {@code ioasis host --mock}. One thread. */
final class MockHost implements TestHost {
    private final IommufdNode node = IommufdNode.builder().commands(new MockDriver()).build();

    @Override
    public List<String> devices() {
        return List.of();
    }

    @Override
    public ProgramRun start(List<byte[]> command)
            throws ErrnoException, IOException, InterruptedException {
        return ProgramRun.start(command, node, true, CallTrace.none());
    }

    @Override
    public void close() {
        // The program's supervisor has released all of it.
    }
}
