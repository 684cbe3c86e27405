// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.kind.blk.Disk;
import org.ioasis.run.Judgement.Counts;
import org.ioasis.run.Judgement.Found;
import org.ioasis.vm.GuestEvent;
import org.ioasis.vm.GuestTask;

/**
 * One guest doing verified disk I/O through the IOMMU: three disks on three endpoints, a file
 * system made, filled, read back, copied, and the host judging the outcome. One thread; blocks
 * until it is over.
 */
public final class DiskRun {
    private static final String PLUG_STEP = "hotplug";

    private final RunOptions options;
    private final GuestTask.Scenario scenario;
    private final Host host;
    private final Progress progress;

    /**
     * @param scenario what happens to the guest before it is checked again
     */
    public DiskRun(RunOptions options, GuestTask.Scenario scenario, Host host, Progress progress) {
        this.options = options;
        this.scenario = scenario;
        this.host = host;
        this.progress = progress;
    }

    /**
     * Runs the guest and judges it.
     *
     * @throws UnavailableException this machine lacks something; the message says what to do
     */
    public RunReport run() throws UnavailableException, IOException, InterruptedException {
        long begin = System.nanoTime();
        try (Cleanup cleanup = Cleanup.atExit();
                GuestSetup setup =
                        GuestSetup.prepare(
                                options,
                                new GuestTask.Check(options.seedBytes(), scenario),
                                host,
                                cleanup,
                                progress)) {
            GuestSetup.Ended ended = setup.boot(event -> listen(event, setup), null);
            // After the end of the sessions: nothing writes to the disks or counts any more.
            setup.machine().close();
            progress.say("comparing the disks");
            return new Judgement(options, Counts.of(setup.machine(), options), ended, progress)
                    .report(found(setup), setup.accel(), begin);
        }
    }

    private void listen(GuestEvent event, GuestSetup setup) {
        setup.tell(event);
        if (event instanceof GuestEvent.Step(String name, long _) && name.equals(PLUG_STEP)) {
            try {
                setup.plugInResult();
            } catch (IOException e) {
                // The guest waits for the disk and then says that it is not there.
                progress.say("the result disk cannot be plugged in: " + e.getMessage());
            }
        }
    }

    private Found found(GuestSetup setup) throws IOException {
        return Found.ofDisks(
                setup.seeded(),
                setup.hash(),
                setup.resultFile(),
                scenario,
                setup.machine().devices(Disk.class));
    }
}
